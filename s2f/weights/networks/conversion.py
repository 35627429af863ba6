"""A published file on its way to a checkpoint folder: what it holds, in the names and layouts of our networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

from s2f.checkpoints.loading import fill, named
from s2f.errors import CheckpointError

ChannelOrder = Literal["rgb", "bgr"]
NORM_EPS = 1e-5  # PyTorch's
COUNTER = "num_batches_tracked"
OTHER_FILE = "give the file that this kind names; `s2f weights import --help` lists the kinds"


@dataclass(frozen=True)
class Part:
    """One network.

    Attributes:
        network: its class.
        config: arguments of its constructor, as the shapes of the file have them.
        state: its tensors by our names, in our layouts and channel order.
    """

    network: type[ModelMixin]
    config: Mapping[str, Any]
    state: Mapping[str, Tensor]

    def build(self, source: Path) -> ModelMixin:
        """The network, filled strictly, in evaluation mode.

        Args:
            source: the file, for messages.

        Raises:
            CheckpointError: tensors missing, superfluous, misshapen or not finite, or a config that makes no network.
        """
        from accelerate import init_empty_weights

        try:
            with init_empty_weights(include_buffers=False):  # all of it comes from the file
                network = self.network(**self.config)
        except (ValueError, RuntimeError) as error:
            fix = "give a genuine file; its layers do not fit together"
            raise CheckpointError(f"layers of {self.network.__name__} in {source}", str(error), fix) from error
        # the number of batches behind the averages of a batch norm is no weight, and old formats lack it
        counters = {name: value for name, value in network.state_dict().items() if name.endswith(COUNTER)}
        fill(network, counters | dict(self.state), source, OTHER_FILE)
        return network.eval()


@dataclass(frozen=True)
class Conversion:
    """What a file became.

    Attributes:
        parts: one network under the name "", or the networks of a matching system by name.
        changes: what was changed on the way, one phrase each.
        left_out: tensors of the file that our network has no place for, by what they are.
        first: name of the first convolution of pictures, which the channel order is about; "" where there is none.
    """

    parts: Mapping[str, Part]
    changes: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    first: str = ""


def require_names(path: Path, expected: Iterable[str], found: Iterable[str]) -> None:
    """Refuse a file that has other tensors than a kind of file has.

    Args:
        path: the file.
        expected: names there should be.
        found: names there are.

    Raises:
        CheckpointError: it names what is missing and what is extra.
    """
    expected, found = list(expected), list(found)
    kinds = {"missing": [n for n in expected if n not in found], "extra": [n for n in found if n not in expected]}
    if faults := [f"{kind} {named(names)}" for kind, names in kinds.items() if names]:
        raise CheckpointError(f"the {len(expected)} arrays of this kind in {path}", "; ".join(faults), OTHER_FILE)


def tensor(array: np.ndarray | Tensor) -> Tensor:
    """A float32 tensor of its own."""
    return torch.as_tensor(np.ascontiguousarray(array) if isinstance(array, np.ndarray) else array).float().contiguous()


def from_hwio(array: np.ndarray) -> Tensor:
    """A kernel (H, W, I, O) of TensorFlow, Keras or MatConvNet as (O, I, H, W)."""
    if array.ndim != 4:
        raise CheckpointError("a kernel (H, W, I, O)", f"one of shape {array.shape}", "copy the file again")
    return tensor(array.transpose(3, 2, 0, 1))


def batch_norm(name: str, scale: Any, shift: Any, mean: Any, variance: Any) -> dict[str, Tensor]:
    """The four tensors of a batch norm under its name."""
    values = {"weight": scale, "bias": shift, "running_mean": mean, "running_var": variance}
    return {f"{name}.{key}": tensor(value) for key, value in values.items()}


def struct_field(struct: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A struct within a struct of MATLAB; an empty one where there is none."""
    value = struct.get(name)
    found = value[0] if isinstance(value, list) and value else value
    return found if isinstance(found, Mapping) else {}


def read_means(path: Path, meta: Mapping[str, Any], default: tuple[float, ...]) -> list[float]:
    """Channel means of MatConvNet's `normalization.averageImage`, a picture (H, W, 3) or three numbers.

    Args:
        path: the file, for messages.
        meta: the struct that holds `normalization`.
        default: means where there is no such picture.

    Returns:
        Three means, in RGB.

    Raises:
        CheckpointError: a picture that is not RGB, or not finite.
    """
    picture = struct_field(meta, "normalization").get("averageImage")
    if picture is None:
        return list(default)
    values = np.asarray(picture, np.float64)
    if (
        not values.size
        or values.ndim < 1
        or (values.shape[-1] != 3 and values.shape != (3, 1))
        or not np.isfinite(values).all()
    ):
        raise CheckpointError(f"an averageImage (H, W, 3) in {path}", f"one of shape {values.shape}", OTHER_FILE)
    return [round(float(value), 6) for value in values.reshape(-1, 3).mean(axis=0)]
