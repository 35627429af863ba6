"""Strict loading of checkpoint folders in the diffusers layout; nothing is guessed and nothing is downloaded."""

import inspect
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import s2f
from s2f.errors import CheckpointError

STARTER = "starter"
WEIGHTS_NAMES = ("model.safetensors", "diffusion_pytorch_model.safetensors")  # ours, and what diffusers writes
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
NAMED_AT_MOST = 8

Network = TypeVar("Network", bound=Any)


def packaged() -> dict[str, Path]:
    """Return the checkpoints that come with s2f: name to folder, which the same rule finds in a wheel."""
    return {STARTER: Path(s2f.__file__).parent.parent / "checkpoints" / STARTER}


def resolve(name_or_path: str | Path) -> Path:
    """Find a checkpoint folder.

    Args:
        name_or_path: "starter" or the path of a folder with a `model_index.json`.

    Returns:
        The folder.

    Raises:
        CheckpointError: unknown name, no such folder, a pickle, or a folder without a `model_index.json`.
    """
    folder = packaged().get(str(name_or_path), Path(name_or_path))
    if folder.suffix in PICKLE_SUFFIXES:
        _refuse_pickle(folder)
    if not folder.is_dir():
        names = ", ".join(repr(name) for name in packaged())
        if str(name_or_path) in packaged():
            fix = "it belongs to the package: install s2f again or check out the whole repository"
        else:
            fix = "check the spelling; nothing is downloaded"
        raise CheckpointError(f"{names} or a checkpoint folder", f"no folder at {folder}", fix)
    if not (folder / "model_index.json").is_file():
        fix = "pass the folder that `save_pretrained` wrote, not one of its parts"
        raise CheckpointError("a folder with model_index.json", f"{folder} without it", fix)
    return folder


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object of a checkpoint.

    Args:
        path: the file.

    Returns:
        The object.

    Raises:
        CheckpointError: no such file, or not one JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = "a missing file" if isinstance(error, FileNotFoundError) else f"a file that cannot be read ({error})"
        raise CheckpointError(f"a JSON object in {path}", reason, "copy the checkpoint again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"a JSON object in {path}", type(value).__name__, "copy the checkpoint again")
    return value


def load_network(cls: type[Network], folder: str | Path) -> Network:
    """Build a network from its `config.json` and fill it from its `*.safetensors`, strictly.

    diffusers' own `from_pretrained` only warns about a missing tensor and leaves it without values.

    Args:
        cls: network class, a diffusers `ModelMixin` and `ConfigMixin`.
        folder: one network's folder.

    Returns:
        The network on the CPU, in evaluation mode.

    Raises:
        CheckpointError: folder or file missing, damaged or a pickle; made for another class; tensors missing,
            superfluous, of another shape or not finite. The message names them.
    """
    import torch
    from accelerate import init_empty_weights
    from safetensors import SafetensorError, safe_open

    folder = Path(folder)
    weights = _weights_file(folder)
    with torch.random.fork_rng(devices=[]), init_empty_weights(include_buffers=False):
        model = _build(cls, folder)
    expected = model.state_dict()
    try:
        with safe_open(weights, framework="pt") as stored:
            shapes = {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
            _compare(weights, {name: tuple(tensor.shape) for name, tensor in expected.items()}, shapes)
            state = {name: stored.get_tensor(name).to(expected[name].dtype, copy=True) for name in shapes}
    except (SafetensorError, OSError) as error:
        got = f"{weights}, truncated or damaged ({error})"
        raise CheckpointError("a complete safetensors file", got, "copy the checkpoint again") from error
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        got = f"NaN or infinite values in {_named(broken)} of {weights}"
        raise CheckpointError("finite weights", got, "take an earlier checkpoint; that training run diverged")
    model.load_state_dict(state, strict=True, assign=True)
    return model.eval()


def _weights_file(folder: Path) -> Path:
    if not folder.is_dir():
        raise CheckpointError("a network folder", f"no folder at {folder}", "copy the whole checkpoint")
    found = [folder / name for name in WEIGHTS_NAMES if (folder / name).is_file()]
    if len(found) == 1:
        return found[0]
    if found:
        got = " and ".join(WEIGHTS_NAMES)
        raise CheckpointError(f"one weights file in {folder}", got, "remove the one that does not belong there")
    for path in sorted(folder.iterdir()):
        if path.suffix in PICKLE_SUFFIXES:
            _refuse_pickle(path)
    raise CheckpointError(f"{WEIGHTS_NAMES[0]} in {folder}", "a folder without it", "copy the whole checkpoint")


def _refuse_pickle(path: Path) -> None:
    fix = "a pickle can run code when it is opened: convert it to safetensors with `s2f weights import` first"
    raise CheckpointError("safetensors weights", f"the pickle {path}", fix)


def _build(cls: type[Network], folder: Path) -> Network:
    """Build the network its config describes; unknown options are refused, not ignored."""
    path = folder / "config.json"
    config = read_json(path)
    if config.get("_class_name") != cls.__name__:
        got = f"one for {config.get('_class_name')}"
        raise CheckpointError(f"{path} for {cls.__name__}", got, "load it as the class its config names")
    options = {name for name in config if not name.startswith("_")}
    unknown = sorted(options - set(inspect.signature(cls.__init__).parameters))
    if unknown:
        fix = "update s2f; the checkpoint comes from another version"
        raise CheckpointError(f"options of {cls.__name__} in {path}", _named(unknown), fix)
    try:
        return cls.from_config(config)
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        got = f"values it refuses ({error})"
        raise CheckpointError(f"options of {cls.__name__} in {path}", got, "copy the checkpoint again") from error


def _compare(weights: Path, expected: Mapping[str, tuple[int, ...]], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse weights whose tensor names or shapes (name to shape) differ from the network's."""
    missing, extra = sorted(expected.keys() - shapes.keys()), sorted(shapes.keys() - expected.keys())
    misshapen = [
        f"{name} {shapes[name]} instead of {expected[name]}"
        for name in sorted(expected.keys() & shapes.keys())
        if shapes[name] != expected[name]
    ]
    kinds = (("missing", missing), ("extra", extra), ("misshapen", misshapen))
    faults = [f"{kind} {_named(names)}" for kind, names in kinds if names]
    if faults:
        fix = "use weights and config.json of the same training run"
        raise CheckpointError(f"the tensors of its config in {weights}", "; ".join(faults), fix)


def _named(names: Iterable[str]) -> str:
    names = list(names)
    rest = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return ", ".join(names[:NAMED_AT_MOST]) + rest
