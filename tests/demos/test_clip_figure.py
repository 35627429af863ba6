"""The picture of what was heard: numbers by hand, and pixels where they should be."""

import io

import numpy as np
import pytest
from PIL import Image

from demos.clip_figure import FLOOR_DB, USED, Heard, draw, envelope, spectrogram_db

RATE = 16000


def tone(hz, seconds=2.0, level=0.5):
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


@pytest.mark.parametrize("hz", [400, 1000, 3000, 7000])
def test_a_tone_is_loudest_at_its_frequency(hz):
    values = spectrogram_db(tone(hz), RATE)
    assert values.shape == (201, 201)  # 25 ms: every 40 Hz; 2 s: every 10 ms
    assert np.argmax(values.mean(1)) * 40 == hz
    assert values.max() == pytest.approx(0)
    assert values.min() >= FLOOR_DB


def test_decibels_are_twenty_to_a_tenfold():
    loud, soft = tone(2000, 1.0, 0.5), tone(2000, 1.0, 0.05)
    values = spectrogram_db(np.concatenate([loud, soft]), RATE)[50]
    assert values[30:70].mean() - values[130:170].mean() == pytest.approx(20, abs=0.1)


def test_louder_is_the_same_picture():
    noise = np.random.default_rng(0).normal(size=RATE).astype(np.float32) * 0.05
    np.testing.assert_allclose(spectrogram_db(noise, RATE), spectrogram_db(4 * noise, RATE), atol=1e-3)


def test_the_envelope_keeps_every_peak():
    samples = np.zeros(1000, np.float32)
    samples[[333, 700]] = 0.9, -0.8
    edges = envelope(samples, 10)
    assert edges.shape == (10, 2)
    assert edges[3].tolist() == pytest.approx([0, 0.9])
    assert edges[7].tolist() == pytest.approx([-0.8, 0])
    assert np.abs(np.delete(edges, [3, 7], axis=0)).max() == 0
    few = np.array([0.1, -0.2, 0.3])
    np.testing.assert_allclose(envelope(few, 10), np.stack([few, few], axis=1))


def test_what_is_said():
    def said(seconds, used, source):
        return Heard(tone(100, seconds), RATE, used, source).sentence()

    assert said(6, 6, 6) == "A clip of 6.0 s: all of it was heard."
    assert said(4, 6, 4) == "A clip of 4.0 s: all of it was heard."
    assert said(15, 6, 44.2) == "A clip of 44.2 s: its first 6 s were heard, its first 15 s are drawn."
    assert said(7.5, 3.5, 7.5) == "A clip of 7.5 s: its first 3.5 s were heard."


def share_of_blue(png):
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    blue = np.array([int(USED[k : k + 2], 16) for k in (1, 3, 5)])
    return pixels, (np.abs(pixels - blue).max(2) < 12)


def test_the_used_part_is_blue_the_rest_is_not():
    noise = np.random.default_rng(0).normal(size=10 * RATE).astype(np.float32) * 0.1
    whole, half = (share_of_blue(draw([Heard(noise, RATE, used, 10.0)]))[1] for used in (10.0, 5.0))
    assert 0.4 < half.sum() / whole.sum() < 0.65
    columns = np.flatnonzero(half.any(0))
    assert columns.max() < 0.56 * half.shape[1]  # nothing blue right of the middle


def test_one_picture_below_the_other():
    one, _ = share_of_blue(draw([Heard(tone(200), RATE, 2.0, 2.0)]))
    two, _ = share_of_blue(draw([Heard(tone(200), RATE, 2.0, 2.0), Heard(tone(1500), RATE, 2.0, 2.0)]))
    assert two.shape[1] == one.shape[1]
    assert two.shape[0] == pytest.approx(2 * one.shape[0], abs=2)
    same = np.corrcoef(two[: len(one)].ravel(), one.ravel())[0, 1]
    other = np.corrcoef(two[-len(one) :].ravel(), one.ravel())[0, 1]
    assert same > 0.95
    assert same > other
