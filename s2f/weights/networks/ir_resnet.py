"""IR-SE-50 of InsightFace_Pytorch and IR-50 of face.evoLVe, two state dicts with our own names."""

from __future__ import annotations

from pathlib import Path

from encoders.face.ir_resnet import IRFace
from s2f.errors import CheckpointError
from s2f.weights.formats.torch_file import read_state_dict
from s2f.weights.networks.conversion import COUNTER, OTHER_FILE, ChannelOrder, Conversion, Part, tensor

UNITS = (3, 4, 14, 3)
FIRST = "input_layer.0.weight"
SQUEEZE = "body.0.res_layer.5.fc1.weight"
REVERSED = "input channels of the first convolution reversed from BGR to RGB"


def from_ir_se50(path: Path, order: ChannelOrder) -> Conversion:
    """`model_ir_se50.pth`: squeeze and excitation, features of length 1.

    Raises:
        CheckpointError: not that file.
    """
    return _conversion(path, order, squeeze_excitation=True)


def from_ir50(path: Path, order: ChannelOrder) -> Conversion:
    """`backbone_ir50_ms1m_epoch120.pth`: neither.

    Raises:
        CheckpointError: not that file.
    """
    return _conversion(path, order, squeeze_excitation=False)


def _conversion(path: Path, order: ChannelOrder, squeeze_excitation: bool) -> Conversion:
    stored = read_state_dict(path)
    state = {name: value if name.endswith(COUNTER) else tensor(value) for name, value in stored.items()}
    starts = [sum(UNITS[:stage]) for stage in range(len(UNITS))]
    needed = [FIRST, "output_layer.3.weight", *(f"body.{unit}.res_layer.1.weight" for unit in starts)]
    if missing := [name for name in [*needed, *([SQUEEZE] if squeeze_excitation else [])] if name not in state]:
        raise CheckpointError(f"the tensors of {sum(UNITS)} units in {path}", f"missing {missing[0]}", OTHER_FILE)
    widths = [len(state[f"body.{unit}.res_layer.1.weight"]) for unit in starts]
    config = {
        "units": list(UNITS),
        "widths": widths,
        "feature_size": len(state["output_layer.3.weight"]),
        "squeeze_excitation": squeeze_excitation,
        "unit_norm": squeeze_excitation,
    }
    if squeeze_excitation:
        config["reduction"] = widths[0] // len(state[SQUEEZE])
    changes = ["images of 0 to 255, minus 127.5, over 127.5"]
    if order == "bgr":
        state[FIRST] = state[FIRST].flip(1)
        changes.append(REVERSED)
    return Conversion({"": Part(IRFace, config, state)}, tuple(changes), first=FIRST)
