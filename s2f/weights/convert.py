"""`s2f weights import`: a published file becomes a checkpoint folder, or is refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from s2f.checkpoints.hashes import write_manifest
from s2f.checkpoints.loading import named
from s2f.checkpoints.model_card import SOURCE, imported_card
from s2f.checkpoints.provenance import weights_sha256
from s2f.errors import CheckpointError, OutputError, UsageError
from s2f.matching.model import MatchingModel
from s2f.runtime.files import file_sha256, whole_folder, write_text
from s2f.version import __version__
from s2f.weights.formats.limits import require_size
from s2f.weights.kinds import KINDS, Kind
from s2f.weights.networks.conversion import ChannelOrder, Conversion
from s2f.weights.registry import load_any

SAME = 1e-3  # of the largest weight: files in half precision are this close, other networks are not


@dataclass(frozen=True)
class Source:
    """Where the weights of a folder come from; `source.json` in it.

    Attributes:
        kind: see `KINDS`.
        file: name of the file.
        bytes: its size.
        sha256: of the file.
        channel_order: of the pictures that the file's network reads; None of a network of voices.
        changes: what was changed on the way.
        left_out: tensors that our network has no place for, and why.
        reference_sha256: of the weights that it was compared with and equals; None where there were none.
        s2f: version.
    """

    kind: str
    file: str
    bytes: int
    sha256: str
    channel_order: str | None
    changes: tuple[str, ...]
    left_out: Mapping[str, str]
    reference_sha256: str | None
    s2f: str = __version__


def import_weights(
    kind: str,
    file: str | Path,
    out: str | Path,
    channel_order: ChannelOrder | None = None,
    reference: str | Path | None = None,
    sha256: str | None = None,
) -> Source:
    """Read a published file and write the folder of its network, or of its matching system.

    Args:
        kind: one of `KINDS`.
        file: the published file.
        out: folder to make.
        channel_order: of the pictures that the file's network reads, for kinds about which sources disagree.
        reference: folder of the same network, imported from another file: every tensor must be equal, and where the
            channel order is open, the first convolution decides it.
        sha256: hash the file must have, in hexadecimal.

    Returns:
        What `source.json` says.

    Raises:
        AssetMissing: the format's library is not installed.
        CheckpointError: the file is not of this kind, damaged, too large, would run code, has another hash, or differs
            from the reference.
        OutputError: `out` exists.
        UsageError: an unknown kind, a channel order that is missing or contradicts what is known, or a channel order or
            a reference for a network without pictures.
    """
    if kind not in KINDS:
        raise UsageError(f"a kind of {', '.join(KINDS)}", repr(kind), "`s2f weights import --help` describes them")
    path, folder, known = Path(file), Path(out), KINDS[kind]
    if folder.exists():
        raise OutputError("a folder that does not exist yet", str(folder), "choose another name or remove it")
    require_size(path)
    found = file_sha256(path)
    if sha256 is not None and found != sha256.lower():
        raise CheckpointError(f"SHA-256 {sha256.lower()} of {path}", found, "the file is another one, or damaged")
    order, conversion = _read(known, path, channel_order, reference)
    networks = {name: part.build(path) for name, part in conversion.parts.items()}
    if reference is not None:
        _require_same(path, networks[""].state_dict(), reference)
    source = Source(
        kind,
        path.name,
        path.stat().st_size,
        found,
        order if known.pictures else None,
        conversion.changes,
        conversion.left_out,
        weights_sha256(reference) if reference is not None else None,
    )
    with whole_folder(folder) as partial:
        if "" in networks:
            networks[""].save_pretrained(partial)
        else:
            MatchingModel(**networks).save_pretrained(partial)
        write_text(partial / SOURCE, json.dumps(asdict(source), indent=2) + "\n")
        write_text(partial / "README.md", imported_card(partial, known.file))
        write_manifest(partial)
    return source


def _read(
    kind: Kind, path: Path, given: ChannelOrder | None, reference: str | Path | None
) -> tuple[ChannelOrder, Conversion]:
    """The channel order of the file, and its content."""
    if kind.order is not None:
        if given is not None and not kind.pictures:
            raise UsageError("a channel order for networks of pictures", kind.file, "leave it out")
        if given not in (None, kind.order):
            raise UsageError(f"channel order {kind.order}, which is known of {kind.file}", f"{given}", "leave it out")
        conversion = kind.convert(path, kind.order)
        if reference is not None and not conversion.first:
            raise UsageError("a reference for a network of pictures", kind.file, "leave out --reference")
        return kind.order, conversion
    if given is None and reference is None:
        raise UsageError(f"--channel_order rgb or bgr for {kind.file}", "none", kind.why_open)
    conversion = kind.convert(path, given or "rgb")
    if given is None and reference is not None and _is_reversed(conversion, reference):
        return "bgr", kind.convert(path, "bgr")
    return given or "rgb", conversion


def _is_reversed(conversion: Conversion, reference: str | Path) -> bool:
    """Whether the first convolution equals that of the reference with its input channels reversed."""
    ours = conversion.parts[""].state[conversion.first]
    theirs = load_any(reference).state_dict().get(conversion.first)
    return theirs is not None and _distance(ours, theirs) > SAME >= _distance(ours.flip(1), theirs)


def _require_same(path: Path, ours: Mapping[str, Tensor], reference: str | Path) -> None:
    """Refuse weights that differ from the reference's; a reversed first convolution is called so."""
    theirs = load_any(reference).state_dict()
    faults = [_fault(name, ours, theirs) for name in sorted(ours.keys() | theirs.keys())]
    if any(faults):
        got = f"another {named(filter(None, faults))}"
        fix = "one of the two is another network, or its layout or channel order is not what its kind says"
        raise CheckpointError(f"the weights of {reference} in {path}", got, fix)


def _fault(name: str, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> str:
    """The name of a tensor that differs, or nothing."""
    if name not in ours or name not in theirs:
        return name
    own, other = ours[name], theirs[name]
    if _distance(own, other) <= SAME:
        return ""
    is_reversed = own.ndim == 4 and _distance(own.flip(1), other) <= SAME
    return f"{name}, whose input channels are reversed" if is_reversed else name


def _distance(a: Tensor, b: Tensor) -> float:
    """Largest difference, as a share of the largest value of b; infinite for other shapes."""
    if a.shape != b.shape:
        return torch.inf
    return float((a.float() - b.float()).abs().max() / b.float().abs().max().clamp_min(torch.finfo().tiny))
