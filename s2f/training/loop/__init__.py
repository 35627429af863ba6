"""The one Accelerate loop; it knows no task."""
