"""Who takes part in matching: the voices and faces of a split that may meet, by identity.

The video rule (SVHF, Nagrani et al., CVPR 2018, section 4; Wen et al.'s code does the same): a voice is never paired
with a face of the same video, so that nothing but the person is in common. Media without a video may meet any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from s2f.datasets import DatasetFolder, Row
from s2f.errors import DatasetError
from s2f.faces.dynamic_images import face_tracks

NAMED = 3  # names shown for each reason
NO_VIDEO = "no face from another video than its voices"
Numbers = list[int]
Medium = tuple[Row, ...]  # a voice: one row; a face: one, or those of a track


@dataclass(frozen=True)
class Pool:
    """One modality of all people who take part.

    Attributes:
        rows: N media: a voice is one row of voices.csv; a face one of faces.csv, or the rows of a track.
        videos: video of each, empty if unknown.
        labels: identity of each, as its place among the sorted identities.
        of: for each identity, the numbers of its media.
    """

    rows: list[Medium]
    videos: list[str]
    labels: Numbers
    of: list[Numbers]

    @classmethod
    def build(cls, media: Sequence[Medium], identities: Sequence[str]) -> Pool:
        """Number the media of some identities.

        Args:
            media: all of them belong to one of the identities.
            identities: sorted.

        Returns:
            The pool, media in the given order.
        """
        place = {identity: label for label, identity in enumerate(identities)}
        labels = [place[rows[0]["identity"]] for rows in media]
        of: list[Numbers] = [[] for _ in identities]
        for number, label in enumerate(labels):
            of[label].append(number)
        return cls(list(media), [video_of(rows) for rows in media], labels, of)

    def elsewhere(self, label: int, *videos: str) -> Numbers:
        """Numbers of an identity's media that come from none of these videos."""
        known = set(videos) - {""}
        return [number for number in self.of[label] if self.videos[number] not in known]


def video_of(rows: Sequence[Row]) -> str:
    """Video of a voice or a face, empty if unknown."""
    return rows[0].get("video") or ""


@dataclass(frozen=True)
class People:
    """Everybody of a split with a voice and a face that may be paired; labels are places in `identities`.

    Attributes:
        identities: sorted names.
        voices: their voices that have a face of the person in another video.
        faces: their faces that have a voice of the person in another video.
        left_out: why others of the split take no part, by identity.
        unpaired: how many voices and faces of these people are left out.
    """

    identities: list[str]
    voices: Pool
    faces: Pool
    left_out: dict[str, str]
    unpaired: int = 0

    @classmethod
    def read(cls, data: DatasetFolder, split: str, tracks: bool = False) -> People:
        """Read the people of a split.

        Args:
            data: a folder with pictures.
            split: train, val or test.
            tracks: a face is a track (`s2f.faces.dynamic_images.face_tracks`) instead of a picture.

        Returns:
            The people.

        Raises:
            DatasetError: nobody is left, or see `DatasetFolder.voices` and `.faces`.
        """
        face_rows = data.faces(split)
        faces = [track.rows for track in face_tracks(face_rows)] if tracks else [(row,) for row in face_rows]
        voices: list[Medium] = [(row,) for row in data.voices(split)]
        videos_heard, videos_seen = _videos(voices), _videos(faces)
        left_out: dict[str, str] = {}
        for identity in data.identities(split):
            heard, seen = videos_heard.get(identity, set()), videos_seen.get(identity, set())
            if not heard or not seen:
                left_out[identity] = "no face" if heard else "no voice"
            elif not any(_apart(video, seen) for video in heard):
                left_out[identity] = NO_VIDEO
        identities = [identity for identity in data.identities(split) if identity not in left_out]
        if not identities:
            fix = "look at the identity and video columns of voices.csv and faces.csv"
            raise DatasetError(f"people with a voice and a face in split {split}", left_out_note(left_out), fix)
        voices, faces = _of(identities, voices), _of(identities, faces)
        heard_apart = [rows for rows in voices if _usable(rows, videos_seen)]
        seen_apart = [rows for rows in faces if _usable(rows, videos_heard)]
        unpaired = len(voices) + len(faces) - len(heard_apart) - len(seen_apart)
        pools = Pool.build(heard_apart, identities), Pool.build(seen_apart, identities)
        return cls(identities, *pools, left_out, unpaired)

    def note(self) -> str:
        """How many take part and who does not, and why, in one sentence."""
        parts = [
            f"{len(self.identities)} people with {len(self.voices.rows)} voices and {len(self.faces.rows)} faces",
            f"left out: {left_out_note(self.left_out)}",
        ]
        if self.unpaired:
            parts.append(f"{self.unpaired} voices and faces have no counterpart in another video")
        return "; ".join(parts)


def left_out_note(left_out: dict[str, str]) -> str:
    """How many are left out for each reason, with the first names."""
    reasons: dict[str, list[str]] = {}
    for identity, reason in left_out.items():
        reasons.setdefault(reason, []).append(identity)
    parts = []
    for reason, names in reasons.items():
        shown = ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
        parts.append(f"{len(names)} with {reason} ({shown})")
    return "; ".join(parts) or "nobody"


def _of(identities: Sequence[str], media: Sequence[Medium]) -> list[Medium]:
    kept = set(identities)
    return [rows for rows in media if rows[0]["identity"] in kept]


def _videos(media: Sequence[Medium]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for rows in media:
        found.setdefault(rows[0]["identity"], set()).add(video_of(rows))
    return found


def _apart(video: str, others: set[str]) -> bool:
    """Whether one of the others is another video, or either is unknown."""
    return bool(others - {video}) or video == ""


def _usable(rows: Medium, others: dict[str, set[str]]) -> bool:
    return _apart(video_of(rows), others[rows[0]["identity"]])
