"""The cartoon: its formulas by hand, what it must not change, and what it is for."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from demos.cartoon import BINS, EDGE_SIGMA_PX, EDGE_SLOPE, QUANTIZATION_SLOPE, TAU, WIDER, cartoon, lines, quantized
from demos.guess_game import read_cast
from s2f.checkpoints.provenance import CartoonProvenance, save_png


def picture(seed=0, size=48):
    grey = np.random.default_rng(seed).uniform(0, 255, (size // 8, size // 8, 3)).astype(np.uint8)
    return Image.fromarray(grey).resize((size, size), Image.Resampling.BICUBIC)


def test_quantisation_by_hand():
    width = 100 / BINS
    steps = torch.arange(0, 100.1, width)[None, None, None]
    torch.testing.assert_close(quantized(steps), steps)  # the middle of a bin stays
    value = torch.full((1, 1, 1, 1), 3 * width + 1.0)
    expected = 3 * width + width / 2 * np.tanh(QUANTIZATION_SLOPE * 1.0) / np.tanh(QUANTIZATION_SLOPE * width / 2)
    assert float(quantized(value)) == pytest.approx(expected, abs=1e-4)


def test_quantisation_rises_and_has_no_gaps():
    ramp = torch.linspace(0, 100, 20001)[None, None, None]
    rise = quantized(ramp)[0, 0, 0].diff()
    assert rise.min() >= -1e-4
    steepest = 100 / 20000 * (100 / BINS) / 2 * QUANTIZATION_SLOPE  # in the middle of a bin; no jump anywhere else
    assert rise.max() == pytest.approx(steepest, rel=0.01)
    assert 0.2 < (rise > 0.005).float().mean() < 0.45  # flat for most of each bin


def gaussian(sigma):
    reach = round(3 * sigma)
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    return weights / weights.sum()


def test_lines_against_a_loop_over_a_step():
    row = np.r_[np.full(20, 20.0), np.full(20, 80.0)]
    blurred = [np.convolve(np.pad(row, 10, "edge"), gaussian(s), "same")[10:-10] for s in (0.9, 0.9 * 1.6)]
    assert (EDGE_SIGMA_PX, WIDER) == (0.9, 1.6)
    difference = blurred[0] - TAU * blurred[1]
    expected = np.where(difference > 0, 1.0, 1 + np.tanh(EDGE_SLOPE * difference))
    found = lines(torch.tensor(np.tile(row, (40, 1)), dtype=torch.float32)[None, None])[0, 0]
    np.testing.assert_allclose(found[20, 10:30], expected[10:30], atol=1e-4)
    assert found[20, 19] < 0.1 < 0.9 < found[20, 20]  # the line lies on the dark side
    assert float(lines(torch.full((1, 1, 20, 20), 50.0)).min()) == 1.0  # none in a flat picture


def test_a_flat_picture_stays_flat_and_grey_stays_grey():
    out = np.asarray(cartoon(Image.new("RGB", (32, 32), (128, 128, 128)))).astype(int)
    assert np.ptp(out.reshape(-1, 3), axis=0).max() == 0
    assert np.ptp(out[0, 0]) <= 1


def test_a_border_gets_a_line():
    step = np.full((40, 40, 3), 60, np.uint8)
    step[:, 20:] = 200
    row = np.asarray(cartoon(Image.fromarray(step)).convert("L")).astype(int)[20]
    assert row[18:20].min() < 15
    assert row[:12].min() > 40
    assert row[28:].min() > 180


def test_mirroring_before_or_after_is_the_same():
    image = picture()
    mirrored = cartoon(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    apart = np.abs(np.asarray(mirrored).astype(int) - np.asarray(cartoon(image)).astype(int))
    assert apart.max() <= 2


def test_it_is_flatter_has_darker_lines_and_keeps_size():
    face = read_cast()[3].picture()
    drawn = cartoon(face)
    assert (drawn.size, drawn.mode) == (face.size, "RGB")
    before, after = (np.asarray(image.convert("L")).astype(int) for image in (face, drawn))
    still = lambda grey: (np.abs(np.diff(grey, axis=1)) == 0).mean()  # noqa: E731
    assert still(after) > 1.3 * still(before)
    assert (after < 20).mean() > (before < 20).mean() + 0.005
    assert np.asarray(cartoon(face)).tobytes() == np.asarray(drawn).tobytes()


def test_the_file_says_that_it_was_redrawn(tmp_path):
    save_png(picture(), tmp_path / "c.png", CartoonProvenance("starter", "0123", 4))
    with Image.open(io.BytesIO((tmp_path / "c.png").read_bytes())) as image:
        assert image.text["rendering"] == "a cartoon of the drawn face"
        assert (image.text["ai_generated"], image.text["seed"]) == ("true", "4")
