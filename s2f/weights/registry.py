"""Every network a checkpoint folder can hold, by the class name in its `config.json`."""

from __future__ import annotations

from pathlib import Path

from diffusers.models.modeling_utils import ModelMixin

from decoder.normalized import NormalizedFaceDecoder
from encoders.face.landmarks import LandmarkRegressor
from s2f.checkpoints.encoders import FACE_ENCODERS, VOICE_ENCODERS
from s2f.checkpoints.loading import contained, load_network, read_json
from s2f.errors import CheckpointError
from s2f.matching.heads import HEADS
from s2f.reconstruction.unexplained import UnexplainedVariation

NETWORKS: dict[str, type[ModelMixin]] = {
    network.__name__: network
    for network in (
        *FACE_ENCODERS.values(),
        *VOICE_ENCODERS.values(),
        *HEADS.values(),
        NormalizedFaceDecoder,
        LandmarkRegressor,
        UnexplainedVariation,
    )
}
INDEX, CONFIG = "model_index.json", "config.json"


def network_folders(folder: Path) -> dict[str, Path]:
    """Folders of the networks of a checkpoint: of one network the folder itself, under the name "".

    Args:
        folder: a checkpoint, or the folder of one network.

    Returns:
        Name to folder: what `model_index.json` names, and further sub-folders with a `config.json`.

    Raises:
        CheckpointError: neither, or a network that the index names is missing.
    """
    if (folder / CONFIG).is_file():
        return {"": folder}
    index = read_json(contained(folder / INDEX, folder))
    named = [name for name, value in index.items() if isinstance(value, list) and len(value) == 2 and all(value)]
    found = {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{CONFIG}"))}
    missing = [name for name in named if name not in found and not name.startswith("_") and _is_network(index[name])]
    if missing:
        raise CheckpointError(f"networks of {folder / INDEX}", f"no {missing[0]}", "copy the whole checkpoint")
    return found


def load_any(folder: str | Path) -> ModelMixin:
    """Load whichever network a folder holds, strictly, in evaluation mode.

    Args:
        folder: one network's folder.

    Returns:
        The network.

    Raises:
        CheckpointError: see `load_network`; or a class that is not ours.
    """
    folder = Path(folder)
    name = str(read_json(contained(folder / CONFIG, folder)).get("_class_name"))
    if name not in NETWORKS:
        raise CheckpointError(f"one of {', '.join(NETWORKS)} in {folder}", name, "give a checkpoint of s2f")
    return load_network(NETWORKS[name], folder)


def _is_network(entry: list[object]) -> bool:
    return entry[1] in NETWORKS
