"""Every network a checkpoint folder can hold, by the class name in its `config.json`."""

from __future__ import annotations

from pathlib import Path

from diffusers.models.modeling_utils import ModelMixin

from decoder.normalized import NormalizedFaceDecoder
from encoders.face.landmarks import LandmarkRegressor
from s2f.checkpoints.encoders import FACE_ENCODERS, VOICE_ENCODERS
from s2f.checkpoints.loading import CONFIG, contained, load_network, network_folders, read_json
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


def load_networks(folder: Path) -> dict[str, ModelMixin]:
    """Load all networks of a checkpoint strictly, by name; of one network's folder under the name "".

    Raises:
        CheckpointError: see `load_any` and `network_folders`; or a network that leads out of the folder.
    """
    return {name: load_any(contained(part, folder)) for name, part in network_folders(folder).items()}
