"""LPIPS, a perceptual distance between pictures, on a backbone read from a local file.

Paper: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (CVPR 2018), section 3.
The package `lpips` brings the network and its small linear heads (version 0.1), but not the backbone: by default it
downloads one, and it runs just as well on random weights, whose numbers mean nothing. Here the backbone is always a
file, and weights that were never trained are refused.
"""

from __future__ import annotations

import math
import shlex
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor

from s2f.checkpoints.loading import NAMED_AT_MOST, PICKLE_SUFFIXES
from s2f.errors import CheckpointError, ImageError

if TYPE_CHECKING:
    from lpips import LPIPS

SMALLEST_PX = 32


def load_lpips(backbone: str | Path) -> LPIPS:
    """LPIPS on the convolutions of torchvision's alexnet, vgg16 or squeezenet1_1; which one is told by the tensors.

    Random weights are recognised as PyTorch draws them: every convolution within 1 / sqrt(fan-in), or every bias 0.

    Args:
        backbone: safetensors file of that network's state dict; `classifier.*` may be absent and is not read.

    Returns:
        The metric on the CPU, frozen and in evaluation mode.

    Raises:
        CheckpointError: file missing, damaged or a pickle; tensors missing, superfluous, of another shape or not
            finite, which the message names; or weights that were never trained.
    """
    path = Path(backbone)
    stored = _read(path)
    model = _random_lpips(_network(stored))
    wanted = {f"features.{name.split('.', 1)[1]}": parameter for name, parameter in model.net.named_parameters()}
    _refuse_others(path, wanted, stored)
    _refuse_untrained(path, stored)
    for name, parameter in wanted.items():
        parameter.data.copy_(stored[name])
    return model.requires_grad_(False).eval()


def lpips_distance(model: LPIPS, a: Float[Tensor, "B 3 H W"], b: Float[Tensor, "B 3 H W"]) -> Float[Tensor, " B"]:
    """Perceptual distance of each pair of pictures, always in float32.

    Args:
        model: from `load_lpips`, on the device of the pictures.
        a: (B, 3, H, W) RGB in [0, 1], at least 32 px high and wide.
        b: (B, 3, H, W) likewise.

    Returns:
        (B,) distances >= 0, 0 for equal pictures; differentiable in both.

    Raises:
        ImageError: pictures of different shapes, not RGB, or too small.
    """
    if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 3 or min(a.shape[2:]) < SMALLEST_PX:
        expected = f"two RGB batches (B, 3, H, W) of one shape, H and W at least {SMALLEST_PX}"
        raise ImageError(expected, f"{tuple(a.shape)} and {tuple(b.shape)}", "resize or stack the pictures alike")
    with torch.autocast(a.device.type, enabled=False):
        return model(2 * a.float() - 1, 2 * b.float() - 1).flatten()


def _read(path: Path) -> dict[str, Tensor]:
    """Tensors of the file by name, without those of the classifier."""
    expected = "a safetensors file of torchvision's alexnet, vgg16 or squeezenet1_1 trained on ImageNet"
    if path.suffix in PICKLE_SUFFIXES:
        target = path.with_suffix(".safetensors")
        code = f"save_file(torch.load({str(path)!r}, 'cpu', weights_only=True), {str(target)!r})"
        line = shlex.quote(f"import torch; from safetensors.torch import save_file; {code}")
        fix = f"a pickle can run code when it is opened: convert it once with `python -c {line}`"
        raise CheckpointError(expected, f"the pickle {path}", fix)
    try:
        with safe_open(path, framework="pt") as stored:
            names = [name for name in stored.keys() if not name.startswith("classifier.")]  # noqa: SIM118
            return {name: stored.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(expected, f"{path}, missing or damaged ({error})", "copy or convert it again") from error


def _network(stored: Mapping[str, Tensor]) -> str:
    """What `lpips` calls the network with these tensors; any other one fails the comparison that follows."""
    if any(".squeeze." in name for name in stored):
        return "squeeze"
    first = stored.get("features.0.weight")
    return "alex" if first is not None and tuple(first.shape[2:]) == (11, 11) else "vgg"


def _random_lpips(network: str) -> LPIPS:
    """LPIPS with the wheel's heads and a random backbone; prints nothing, leaves the global generator alone."""
    from lpips import LPIPS

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.filterwarnings("ignore", category=UserWarning, module=r"torchvision\.models\._utils")
        return LPIPS(net=network, pnet_rand=True, verbose=False)


def _refuse_others(path: Path, wanted: Mapping[str, Tensor], stored: Mapping[str, Tensor]) -> None:
    """Refuse tensors that are not those of the network, or not finite."""
    both = sorted(wanted.keys() & stored.keys())
    faults = {
        "missing": sorted(wanted.keys() - stored.keys()),
        "extra": sorted(stored.keys() - wanted.keys()),
        "misshapen": [name for name in both if stored[name].shape != wanted[name].shape],
        "with NaN or infinite values": [name for name in both if not torch.isfinite(stored[name]).all()],
    }
    found = [f"{kind} {', '.join(names[:NAMED_AT_MOST])}" for kind, names in faults.items() if names]
    if found:
        expected = f"the convolutions of torchvision's alexnet, vgg16 or squeezenet1_1 in {path}"
        raise CheckpointError(expected, "; ".join(found), "convert torchvision's own file again")


def _refuse_untrained(path: Path, stored: Mapping[str, Tensor]) -> None:
    """Refuse weights as PyTorch's layers or torchvision's VGG and SqueezeNet are initialised."""
    weights = [tensor.float() for name, tensor in stored.items() if name.endswith(".weight")]
    biases = [tensor for name, tensor in stored.items() if name.endswith(".bias")]
    rounding = 1.001  # of half-precision files
    uniform = all(weight.abs().max() <= rounding / math.sqrt(weight[0].numel()) for weight in weights)
    if uniform or not any(bias.any() for bias in biases):
        fix = "use weights trained on ImageNet; distances of a random network mean nothing"
        raise CheckpointError("trained weights", f"weights as initialised in {path}", fix)
