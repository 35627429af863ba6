"""What an adaptor finds, in forms that tests compare."""

from pathlib import Path

from s2f.prepare.adaptors import avspeech, crema_d, folders, librispeech, mav_celeb
from s2f.prepare.sources.found import Sources, Tables

SCANS = {module.ADAPTOR.name: module.scan for module in (avspeech, crema_d, folders, librispeech, mav_celeb)}


def scan(name: str, root: Path, *named: Path) -> Sources:
    return SCANS[name](root, Tables(named))


def voices(sources: Sources) -> list[tuple]:
    return sorted((voice.identity, voice.path, voice.video, voice.start_s, voice.end_s) for voice in sources.voices)


def faces(sources: Sources) -> list[tuple]:
    return sorted((face.identity, face.path, face.video, face.framing) for face in sources.faces)


def genders(sources: Sources) -> dict[str, str]:
    return {identity: row.get("gender", "") for identity, row in sources.people.items()}


def splits(sources: Sources) -> dict[str, str]:
    return {identity: row.get("split", "") for identity, row in sources.people.items()}
