"""NumPy's files of a dictionary of arrays, which are pickles inside: read by stand-ins alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from s2f.errors import CheckpointError
from s2f.runtime.safe_pickle import load_arrays
from s2f.weights.formats.limits import damaged


def read_arrays(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Arrays by layer and name.

    Args:
        path: a `.npy` file whose one object is a dictionary of dictionaries of arrays.

    Returns:
        Layer to name to array.

    Raises:
        CheckpointError: no such file, or a pickle that asks for anything else (it is not run).
    """
    try:
        with path.open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, _, kind = headers[version](stream)
            if not kind.hasobject or shape != ():
                raise CheckpointError(f"one dictionary in {path}", f"an array {shape} of {kind}", "give another file")
            content = load_arrays(stream, path)
    except CheckpointError:
        raise
    except Exception as error:  # numpy parses the header as an expression of Python
        raise damaged(path, "a .npy file", error) from error
    if not isinstance(content, dict) or not all(_is_layer(layer) for layer in content.values()):
        raise CheckpointError(f"arrays by layer and name in {path}", "another content", "give another file")
    return content


def _is_layer(layer: object) -> bool:
    return isinstance(layer, dict) and all(isinstance(value, np.ndarray) for value in layer.values())
