"""The README's picture: faces drawn from held-out readers, the first six women and men by file name (not picked).

python benchmarks/starter_voices.py VOICES PICTURES OUT.png

VOICES is the folder of recordings, PICTURES the one that `s2f-eval demographics … --voices VOICES --pictures PICTURES`
wrote.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from s2f.faces.images import grid, load_image
from s2f.simulate.voice.recordings import read_voices

SHOWN = 6


def main() -> None:
    """Write the picture."""
    pictures, out = Path(sys.argv[2]), Path(sys.argv[3])
    gender = {Path(r.path).stem: r.gender for r in read_voices(sys.argv[1]) if r.split == "dev"}
    rows = [[name for name in sorted(gender) if gender[name] == wanted][:SHOWN] for wanted in "fm"]
    sheet = grid([[load_image(pictures / f"{name}.png") for name in row] for row in rows])
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.resize((SHOWN * 160, 2 * 160), Image.Resampling.LANCZOS).save(out)


if __name__ == "__main__":
    main()
