"""PyTorch's own files: a state dict, read with `weights_only=True`."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from s2f.errors import CheckpointError
from s2f.weights.formats.limits import damaged, require_unpacked

ASKED_FOR = re.compile(r"GLOBAL ([\w.]+)")
FIX = "take a copy that holds a state dict: tensors by name and nothing that acts"


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors by name, on the CPU.

    A name common to all, `module.`, which data-parallel training adds, is taken off; a state dict inside a dictionary
    under `state_dict` is taken out.

    Args:
        path: a `.pth`, `.pt` or `.model` file, of either of PyTorch's two formats.

    Returns:
        Name to tensor.

    Raises:
        CheckpointError: a pickle that names anything but tensors (it is not run), a damaged file, or another content.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                require_unpacked(path, sum(member.file_size for member in archive.infolist()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of TorchScript archives, which are refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        named = ASKED_FOR.search(str(error))
        if named is None:
            raise damaged(path, "a state dict", str(error).rpartition("error: ")[2]) from error
        raise CheckpointError(f"tensors alone in {path}", f"a pickle that asks for {named[1]}", FIX) from error
    except Exception as error:  # PyTorch raises nearly anything about a damaged file
        raise damaged(path, "a state dict", error) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(f"a state dict in {path}", f"a {type(content).__name__} of other things", FIX)
    state = {str(name): value for name, value in content.items()}
    shared = all(name.startswith("module.") for name in state)
    return {name.removeprefix("module.") if shared else name: value for name, value in state.items()}
