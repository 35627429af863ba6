"""The two operations of our networks that PyTorch's ONNX exporter lacks, in operators of the standard.

A thin-plate spline needs a linear system solved (`decoder.warp`), which ONNX has no operator for; the front ends need
Hamming windows, which are constants.
"""

from collections.abc import Callable
from typing import Any

import onnx
import torch
from onnxscript import DOUBLE, script
from onnxscript import opset18 as op
from onnxscript.values import Opset


@script(Opset("s2f", 1), default_opset=op)
def solve(a: DOUBLE[...], b: DOUBLE[...]) -> DOUBLE[...]:
    """Solve A X = B by Gauss-Jordan elimination with column pivots, rows left in place.

    Args:
        a: (B, N, N) systems.
        b: (B, N, C) right sides.

    Returns:
        (B, N, C).
    """
    rows = op.Constant(value_ints=[1])
    columns = op.Constant(value_ints=[2])
    size = op.Shape(a, start=2, end=3)
    table = op.Concat(a, b, axis=2)
    unused = op.CastLike(op.Expand(1.0, op.Shape(a, start=0, end=2)), a)
    for step in range(op.Squeeze(size)):
        place = op.Unsqueeze(op.Cast(step, to=7), op.Constant(value_ints=[0]))
        column = op.Squeeze(op.Gather(table, place, axis=2), columns)
        chosen = op.ArgMax(op.Abs(column) * unused, axis=1, keepdims=0)
        one = op.CastLike(op.OneHot(chosen, size, op.Constant(value_floats=[0.0, 1.0])), a)
        is_pivot = op.Unsqueeze(one, columns)
        pivot = op.ReduceSum(is_pivot * table, rows, keepdims=1)
        pivot = pivot / op.Gather(pivot, place, axis=2)
        table = table - (op.Unsqueeze(column, columns) - is_pivot) * pivot
        unused = unused * (op.CastLike(1.0, a) - one)
    # the left part is now a permutation: row i holds unknown k where it is 1
    left = op.Slice(table, op.Constant(value_ints=[0]), size, columns)
    right = op.Slice(table, size, op.Constant(value_ints=[9223372036854775807]), columns)
    return op.MatMul(op.Transpose(left, perm=[0, 2, 1]), right)


def linalg_solve(a, b, left=True, check_errors=False):
    """`aten::_linalg_solve_ex`; of its four results only the first is used by our networks, the others are dropped."""
    solution = solve(a, b)
    return solution, op.Identity(solution), op.Identity(solution), op.Identity(solution)


def hamming_window(length, periodic=True, dtype=None, layout=None, device=None, pin_memory=None):
    """`aten::hamming_window` as a constant."""
    window = torch.hamming_window(length, periodic=periodic)
    return op.Constant(value=onnx.numpy_helper.from_array(window.numpy()))


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten._linalg_solve_ex.default: linalg_solve,
    torch.ops.aten.hamming_window.default: hamming_window,
    torch.ops.aten.hamming_window.periodic: hamming_window,
}
