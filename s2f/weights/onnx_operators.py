"""The operations of our networks that PyTorch's ONNX exporter lacks, in operators of the standard.

A thin-plate spline needs a linear system solved (`decoder.warp`), which ONNX has no operator for; the front ends need
Hann and Hamming windows, which are constants.
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
    # The left part is now a permutation: row i holds unknown k where it is 1. Not as a product of a transpose, which
    # onnxruntime 1.23 fuses into an operator that it lacks for doubles.
    left = op.Slice(table, op.Constant(value_ints=[0]), size, columns)
    right = op.Slice(table, size, op.Constant(value_ints=[9223372036854775807]), columns)
    picked = op.Unsqueeze(left, op.Constant(value_ints=[3])) * op.Unsqueeze(right, columns)
    return op.ReduceSum(picked, rows, keepdims=0)


def linalg_solve(a, b, left=True, check_errors=False):
    """`aten::_linalg_solve_ex`; of its four results only the first is used by our networks, the others are dropped."""
    solution = solve(a, b)
    return solution, op.Identity(solution), op.Identity(solution), op.Identity(solution)


def _constant(window: Callable[..., torch.Tensor]) -> Callable[..., Any]:
    """A window function of PyTorch, whose length is known when a network is exported, as a constant."""

    def translated(length, periodic=True, dtype=None, layout=None, device=None, pin_memory=None):
        return op.Constant(value=onnx.numpy_helper.from_array(window(length, periodic=periodic).numpy()))

    return translated


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten._linalg_solve_ex.default: linalg_solve,
    torch.ops.aten.hamming_window.default: _constant(torch.hamming_window),
    torch.ops.aten.hamming_window.periodic: _constant(torch.hamming_window),
    torch.ops.aten.hann_window.default: _constant(torch.hann_window),
    torch.ops.aten.hann_window.periodic: _constant(torch.hann_window),
}
