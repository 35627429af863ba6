"""Layers in numpy, float64, as the frameworks define them: pictures (C, H, W) first, (H, W, C) last, one at a time."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def conv_first(x, kernel, bias=None, stride=(1, 1), pad=(0, 0, 0, 0)):
    """Correlation of (C, H, W) with (O, C, h, w); pad is top, bottom, left, right."""
    return np.moveaxis(conv_last(np.moveaxis(x, 0, 2), kernel.transpose(2, 3, 1, 0), bias, stride, pad), 2, 0)


def conv_last(x, kernel, bias=None, stride=(1, 1), pad=(0, 0, 0, 0)):
    """Correlation of (H, W, C) with (h, w, C, O)."""
    x = np.pad(np.asarray(x, float), (pad[:2], pad[2:], (0, 0)))
    windows = sliding_window_view(x, kernel.shape[:2], axis=(0, 1))[:: stride[0], :: stride[1]]  # H W C h w
    result = np.tensordot(windows, np.asarray(kernel, float), axes=([3, 4, 2], [0, 1, 2]))
    return result if bias is None else result + bias


def pool_last(x, window, stride, pad=(0, 0, 0, 0), function=np.max):
    """Largest (or mean) value of windows of (H, W, C); padding is never the largest."""
    x = np.pad(x, (pad[:2], pad[2:], (0, 0)), constant_values=-np.inf)
    return function(sliding_window_view(x, window, axis=(0, 1))[:: stride[0], :: stride[1]], axis=(3, 4))


def pool_first(x, window, stride, pad=(0, 0, 0, 0)):
    """The same for (C, H, W)."""
    return np.moveaxis(pool_last(np.moveaxis(x, 0, 2), window, stride, pad), 2, 0)


def norm_last(x, scale, shift, mean, deviation):
    """Batch norm with a deviation that includes epsilon."""
    return (x - mean) / deviation * scale + shift


def relu(x):
    return np.maximum(x, 0.0)


def prelu_first(x, slope):
    return np.where(x > 0, x, x * slope[:, None, None])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x, axis=0):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def relative(found, expected):
    """Largest difference, as a share of the largest value expected."""
    expected = np.asarray(expected)
    assert np.shape(found) == expected.shape
    return float(np.abs(np.asarray(found) - expected).max() / np.abs(expected).max())
