"""Settings of `s2f prepare`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from s2f.errors import UsageError, check_names

FLAGS = ("clipped", "damaged", "little_speech", "several_faces", "small_face", "no_face")
TABLES_ONLY = ("root", "out", "faces", "faces_root", "metadata", "split", "split_list", "split_seed")
RANGES: dict[str, tuple[float, float]] = {
    "frames_per_clip": (1, 1000),
    "crop_factor": (1.0, 4.0),
    "size_px": (32, 2048),
    "search_px": (224, 8192),
    "min_face_px": (0, 2048),
    "sample_rate_hz": (8000, 48000),
    "split_seed": (0, 2**32 - 1),
}


@dataclass(frozen=True)
class PrepareConfig:
    """What to prepare, and how.

    Args:
        dataset: name of the adaptor that knows how the dataset lies on disk.
        root: the copy of the dataset.
        out: dataset folder to write.
        faces: adaptor of a second dataset with faces of the same people.
        faces_root: the copy of that dataset; without it the faces lie below `root` too.
        metadata: published tables, or folders that hold them.
        split: how people are shared among train, val and test.
        split_list: file with the people of each split, for a rule that needs one.
        split_seed: seed of a random split.
        frames_per_clip: pictures taken from each film.
        crop_factor: side of the square around a face over the mean side of its box.
        framing: "scene": find and cut out the face; "crop": keep the picture's own framing; "auto": as the adaptor
            says.
        size_px: side of the written pictures.
        detector: "cnn", "hog", or "auto": the CNN if its model is installed.
        search_px: pictures are searched with their longer side reduced to this.
        min_face_px: smaller faces get the flag small_face; mean side of the face's box in the source.
        landmarks: who finds the 68 points of the written pictures.
        leave_out: files with one of these quality flags are left out.
        voice_activity: find where somebody speaks (extra `vad`).
        sample_rate_hz: rate of the written recordings.
    """

    dataset: str
    root: str
    out: str
    faces: str | None = None
    faces_root: str | None = None
    metadata: list[str] = field(default_factory=list)
    split: Literal["random", "own", "svhf", "wen", "pins", "kim", "list", "none"] = "random"
    split_list: str | None = None
    split_seed: int = 0
    frames_per_clip: int = 1
    crop_factor: float = 1.6
    framing: Literal["auto", "scene", "crop"] = "auto"
    size_px: int = 224
    detector: Literal["auto", "cnn", "hog"] = "auto"
    search_px: int = 640
    min_face_px: int = 40
    landmarks: Literal["dlib", "starter", "none"] = "dlib"
    leave_out: list[str] = field(default_factory=list)
    voice_activity: bool = False
    sample_rate_hz: int = 16000

    def check(self) -> None:
        """Refuse values out of range.

        Raises:
            UsageError: such a value, or a quality flag that does not exist.
        """
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise UsageError(f"{name} from {least:g} to {most:g}", f"{value}", "correct it")
        check_names(self.leave_out, FLAGS, "quality flag")

    def decides_media(self) -> dict[str, Any]:
        """The settings that decide what becomes of one file; the others decide which files, or the tables alone."""
        return {name: value for name, value in asdict(self).items() if name not in TABLES_ONLY}
