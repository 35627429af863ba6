"""Trees of empty files: what is found depends on names alone."""

from pathlib import Path

from s2f.prepare.sources.found import Sources


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def voices(sources: Sources) -> set[tuple[str, str, str]]:
    found = {(voice.identity, voice.path, voice.video) for voice in sources.voices}
    assert len(found) == len(sources.voices)
    return found


def faces(sources: Sources) -> set[tuple[str, str, str, str]]:
    found = {(face.identity, face.path, face.video, face.framing) for face in sources.faces}
    assert len(found) == len(sources.faces)
    return found
