"""Software renderer: triangles to pictures."""
