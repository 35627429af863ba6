"""Strict loading of checkpoint folders in the diffusers layout; nothing is guessed and nothing is downloaded."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from s2f.errors import CheckpointError

if TYPE_CHECKING:
    import torch

PACKAGED = Path(__file__).parents[2] / "checkpoints"  # in a checkout and in a wheel
STARTER = "starter"
INDEX, CONFIG = "model_index.json", "config.json"
OURS = {"s2f", "encoders", "decoder"}  # packages that an index names for our networks
WEIGHTS_NAMES = ("model.safetensors", "diffusion_pytorch_model.safetensors")  # ours, and what diffusers writes
INDEX_NAMES = tuple(f"{name}.index.json" for name in WEIGHTS_NAMES)  # of weights in several files, as diffusers writes
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
NAMED_AT_MOST = 8
MAX_JSON_BYTES = 10_000_000
MAX_WEIGHTS_BYTES = 20_000_000_000  # of one network; the largest published one has 600 MB
SAME_RUN = "use weights and config.json of the same training run"

Network = TypeVar("Network", bound=Any)


def packaged() -> dict[str, Path]:
    """Return the checkpoints that come with s2f: name to folder."""
    return {STARTER: PACKAGED / STARTER}


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
    if not (folder / INDEX).is_file():
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
        CheckpointError: no such file, one beyond 10 MB, or not one JSON object.
    """
    try:
        if (size := path.stat().st_size) > MAX_JSON_BYTES:
            got = f"{size / 1e6:.0f} MB in {path}"
            raise CheckpointError(f"at most {MAX_JSON_BYTES / 1e6:g} MB of JSON", got, "copy the checkpoint again")
        value = json.loads(path.read_text(encoding="utf-8"))
    except CheckpointError:
        raise
    except (OSError, ValueError, RecursionError) as error:
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
    files = _weights_files(folder)
    with torch.random.fork_rng(devices=[]), init_empty_weights(include_buffers=True):
        expected = _shapes(_build(cls, folder).state_dict())  # takes no memory, whatever the config says
    weights = files[0] if len(files) == 1 else folder
    try:
        with ExitStack() as opened:
            stored = [opened.enter_context(safe_open(file, framework="pt")) for file in files]
            place = {name: file for file in stored for name in file.keys()}  # noqa: SIM118
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name, file in place.items()}
            _compare(weights, expected, shapes, SAME_RUN)
            if twice := sum(len(file.keys()) for file in stored) - len(place):
                got = f"{twice} of them twice in the files of {folder}"
                raise CheckpointError("every tensor once", got, "copy the whole checkpoint from its source")
            state = {name: file.get_tensor(name) for name, file in place.items()}
    except (SafetensorError, OSError) as error:
        got = f"{weights}, truncated or damaged ({error})"
        raise CheckpointError("a complete safetensors file", got, "copy the checkpoint again") from error
    with torch.random.fork_rng(devices=[]), init_empty_weights(include_buffers=False):
        model = _build(cls, folder)
    fill(model, state, weights)
    return model.eval()


def stored_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors that a network's folder stores, by name, from the headers of its files.

    Raises:
        CheckpointError: a missing or damaged file.
    """
    from safetensors import SafetensorError, safe_open

    shapes: dict[str, tuple[int, ...]] = {}
    for path in _weights_files(folder):
        try:
            with safe_open(path, framework="numpy") as file:
                shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            got = f"{path}, truncated or damaged ({error})"
            raise CheckpointError("a complete safetensors file", got, "copy the checkpoint again") from error
    return shapes


def fill(network: torch.nn.Module, state: Mapping[str, torch.Tensor], source: Path, fix: str = SAME_RUN) -> None:
    """Give a network its tensors, strictly; it keeps copies in its own types.

    Args:
        network: the network; its own tensors may be empty ("meta").
        state: name to tensor.
        source: where they come from, for messages.
        fix: what to do about other tensors than expected.

    Raises:
        CheckpointError: tensors missing, superfluous, of another shape or not finite. The message names them.
    """
    import torch

    expected = network.state_dict()
    _compare(source, _shapes(expected), _shapes(state), fix)
    own = {name: tensor.to(expected[name].dtype, copy=True) for name, tensor in state.items()}
    broken = [name for name, tensor in own.items() if not torch.isfinite(tensor).all()]
    if broken:
        got = f"NaN or infinite values in {named(broken)} of {source}"
        raise CheckpointError(
            "finite weights",
            got,
            "take an earlier checkpoint or another copy; a training run that diverged leaves such values",
        )
    network.load_state_dict(own, strict=True, assign=True)


def _shapes(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def network_folders(folder: Path) -> dict[str, Path]:
    """Folders of the networks of a checkpoint: of one network the folder itself, under the name "".

    Args:
        folder: a checkpoint, or the folder of one network.

    Returns:
        Name to folder: what `model_index.json` names, and further sub-folders with a `config.json`.

    Raises:
        CheckpointError: neither, or a network of ours that the index names is missing.
    """
    if (folder / CONFIG).is_file():
        return {"": folder}
    index = read_json(contained(folder / INDEX, folder))
    named = [name for name, value in index.items() if isinstance(value, list) and len(value) == 2 and all(value)]
    found = {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{CONFIG}"))}
    missing = [name for name in named if name not in found and str(index[name][0]).split(".")[0] in OURS]
    if missing:
        raise CheckpointError(f"networks of {folder / INDEX}", f"no {missing[0]}", "copy the whole checkpoint")
    return found


def contained(path: Path, root: Path) -> Path:
    """Refuse a path that leads out of a folder, by a link or by its name.

    Args:
        path: a file or folder that belongs to `root`.
        root: the folder.

    Returns:
        The path.

    Raises:
        CheckpointError: it lies elsewhere.
    """
    if not path.resolve().is_relative_to(root.resolve()):
        fix = "put the file itself there; of a hub's cache, make a plain folder with `snapshot_download(local_dir=...)`"
        raise CheckpointError(f"files inside {root}", f"{path}, which leads to {path.resolve()}", fix)
    return path


def _weights_files(folder: Path) -> list[Path]:
    """The one weights file of a network, or the files that its index names."""
    if not folder.is_dir():
        raise CheckpointError("a network folder", f"no folder at {folder}", "copy the whole checkpoint")
    found = [folder / name for name in (*WEIGHTS_NAMES, *INDEX_NAMES) if (folder / name).is_file()]
    if len(found) > 1:
        got = " and ".join(path.name for path in found)
        raise CheckpointError(f"one weights file in {folder}", got, "remove the one that does not belong there")
    if found:
        path = contained(found[0], folder)
        files = _indexed(path) if path.name in INDEX_NAMES else [path]
        if (size := sum(file.stat().st_size for file in files)) > MAX_WEIGHTS_BYTES:
            got = f"{size / 1e9:.1f} GB in {folder}"
            raise CheckpointError(
                f"at most {MAX_WEIGHTS_BYTES / 1e9:g} GB of weights", got, "copy the checkpoint again"
            )
        return files
    for path in sorted(folder.iterdir()):
        if path.suffix in PICKLE_SUFFIXES:
            _refuse_pickle(path)
    raise CheckpointError(f"{WEIGHTS_NAMES[0]} in {folder}", "a folder without it", "copy the whole checkpoint")


def _indexed(index: Path) -> list[Path]:
    """The weights files that an index names; a name is that of a file beside it, not a path."""
    places = read_json(index).get("weight_map")
    names = sorted({str(name) for name in places.values()}) if isinstance(places, dict) else []
    if not names:
        raise CheckpointError(f"a weight_map in {index}", "none", "copy the checkpoint again")
    for name in names:
        path = index.parent / name
        if Path(name).name != name or path.suffix != ".safetensors" or not path.is_file():
            expected = f"names of .safetensors files beside {index}"
            raise CheckpointError(expected, repr(name), "copy the whole checkpoint from its source")
        contained(path, index.parent)
    return [index.parent / name for name in names]


def _refuse_pickle(path: Path) -> None:
    fix = "a pickle can run code when it is opened: convert it to safetensors with `s2f weights import` first"
    raise CheckpointError("safetensors weights", f"the pickle {path}", fix)


def _build(cls: type[Network], folder: Path) -> Network:
    """Build the network its config describes; unknown options are refused, not ignored."""
    path = contained(folder / CONFIG, folder)
    config = read_json(path)
    if config.get("_class_name") != cls.__name__:
        got = f"one for {config.get('_class_name')}"
        raise CheckpointError(f"{path} for {cls.__name__}", got, "load it as the class its config names")
    options = {name for name in config if not name.startswith("_")}
    unknown = sorted(options - set(inspect.signature(cls.__init__).parameters))
    if unknown:
        fix = "update s2f; the checkpoint comes from another version"
        raise CheckpointError(f"options of {cls.__name__} in {path}", named(unknown), fix)
    try:
        return cls.from_config(config)
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        got = f"values it refuses ({error})"
        raise CheckpointError(f"options of {cls.__name__} in {path}", got, "copy the checkpoint again") from error


def _compare(
    weights: Path, expected: Mapping[str, tuple[int, ...]], shapes: Mapping[str, tuple[int, ...]], fix: str
) -> None:
    """Refuse weights whose tensor names or shapes (name to shape) differ from the network's."""
    missing, extra = sorted(expected.keys() - shapes.keys()), sorted(shapes.keys() - expected.keys())
    misshapen = [
        f"{name} {shapes[name]} instead of {expected[name]}"
        for name in sorted(expected.keys() & shapes.keys())
        if shapes[name] != expected[name]
    ]
    kinds = (("missing", missing), ("extra", extra), ("misshapen", misshapen))
    faults = [f"{kind} {named(names)}" for kind, names in kinds if names]
    if faults:
        raise CheckpointError(f"the tensors of its config in {weights}", "; ".join(faults), fix)


def named(names: Iterable[str]) -> str:
    """The first few of many names, and how many more there are, for messages."""
    names = list(names)
    rest = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return ", ".join(names[:NAMED_AT_MOST]) + rest
