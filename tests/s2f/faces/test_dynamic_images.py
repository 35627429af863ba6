"""Rank pooling against its definitions, pictures of motion, windows of frames, tracks of faces."""

import math
from fractions import Fraction
from itertools import pairwise

import pytest
import torch

from s2f.errors import DatasetError, ImageError, UsageError
from s2f.faces.dynamic_images import (
    as_picture,
    dynamic_image,
    face_tracks,
    matched_stride,
    rank_pooling_weights,
    windows,
)

TEN = [-12.2187, -3.2187, 0.2813, 1.9480, 2.6980, 2.8980, 2.7313, 2.3028, 1.6778, 0.9000]


def video(frames, size=5, seed=0):
    return torch.randint(
        0, 256, (frames, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


def test_weights_of_ten_frames():
    assert rank_pooling_weights(10).tolist() == pytest.approx(TEN, abs=5e-5)
    assert rank_pooling_weights(1).tolist() == [1]
    assert rank_pooling_weights(2).tolist() == [-0.5, 0.5]


@pytest.mark.parametrize("frames", [2, 3, 10, 57])
def test_weights_in_closed_form(frames):
    """2(T - t + 1) - (T + 1)(H_T - H_(t-1)), in exact fractions."""
    harmonic = [Fraction(0)]
    for i in range(1, frames + 1):
        harmonic.append(harmonic[-1] + Fraction(1, i))
    expected = [
        2 * (frames - t + 1) - (frames + 1) * (harmonic[frames] - harmonic[t - 1]) for t in range(1, frames + 1)
    ]
    assert sum(expected) == 0
    weights = rank_pooling_weights(frames)
    assert weights.tolist() == pytest.approx([float(value) for value in expected], abs=1e-10)
    assert weights.sum().item() == pytest.approx(0, abs=1e-10)


def test_dynamic_image_is_rank_pooling_of_running_means():
    """Where the weights come from: the sum over i of (2i - T - 1) times the mean of the first i frames."""
    frames = video(6)
    expected = torch.zeros(3, 5, 5)
    for i in range(1, 7):
        expected += (2 * i - 7) * frames[:i].float().mean(0)
    torch.testing.assert_close(dynamic_image(frames), expected, rtol=1e-5, atol=1e-3)


def test_dynamic_image_against_a_loop_over_pixels():
    frames = video(10, size=3)
    image = dynamic_image(frames)
    assert image.dtype == torch.float32
    for c in range(3):
        for y in range(3):
            for x in range(3):
                by_hand = sum(TEN[t] * frames[t, c, y, x].item() for t in range(10))
                assert image[c, y, x].item() == pytest.approx(by_hand, abs=0.1)
    torch.testing.assert_close(dynamic_image(frames.float()), image)
    assert torch.equal(dynamic_image(frames[:1]), frames[0].float())


def test_what_changes_a_dynamic_image_and_what_does_not():
    frames = video(8) // 2
    image = dynamic_image(frames)
    assert torch.equal(dynamic_image(frames + 100), image)
    still = torch.randint(0, 128, (3, 5, 5), dtype=torch.uint8)
    assert torch.equal(dynamic_image(frames + still), image)
    torch.testing.assert_close(dynamic_image(frames * 2), 2 * image)
    assert not dynamic_image(still.expand(8, 3, 5, 5)).any()
    assert not torch.allclose(dynamic_image(frames.flip(0)), -image)


def test_steady_change():
    """Frames I + t G give G T(T + 1)(T - 1) / 12, backwards the negative of it: brightening is positive."""
    still = torch.randint(0, 100, (3, 5, 5), generator=torch.Generator().manual_seed(1))
    change = torch.randint(-5, 6, (3, 5, 5), generator=torch.Generator().manual_seed(2))
    for count in (2, 3, 10):
        frames = torch.stack([still + 50 + t * change for t in range(count)]).to(torch.uint8)
        expected = change * (count * (count + 1) * (count - 1) / 12)
        torch.testing.assert_close(dynamic_image(frames), expected.float())
        torch.testing.assert_close(dynamic_image(frames.flip(0)), -expected.float())
    brighter = torch.arange(10, dtype=torch.uint8)[:, None, None, None].expand(10, 3, 4, 4)
    assert torch.equal(dynamic_image(brighter), torch.full((3, 4, 4), 82.5))


def test_pictures_are_stretched_over_all_channels():
    image = torch.tensor([-30.0, 0.0, 20.0]).view(3, 1, 1).expand(3, 2, 2).clone()
    assert as_picture(image)[:, 0, 0].tolist() == [0, 153, 255]
    raw = dynamic_image(video(10))
    picture = as_picture(raw)
    assert picture.dtype == torch.uint8
    low, high = raw.min().item(), raw.max().item()
    for index in range(75):
        exact = (raw.view(-1)[index].item() - low) / (high - low) * 255
        assert abs(picture.view(-1)[index].item() - exact) <= 0.51
    assert torch.equal(as_picture(raw / 8 + 3), picture)
    assert (as_picture(-raw).int() + picture.int() - 255).abs().max() <= 1
    assert picture.min() == 0
    assert picture.max() == 255


@pytest.mark.parametrize("value", [0.0, -7.0, 1e5])
def test_no_motion_is_mid_grey(value):
    assert torch.equal(as_picture(torch.full((3, 4, 4), value)), torch.full((3, 4, 4), 128, dtype=torch.uint8))


def test_a_still_track_is_mid_grey():
    """Whatever its picture: no pixel differs from another in its motion."""
    still = video(1).expand(30, 3, 5, 5)
    assert as_picture(dynamic_image(still)).unique().tolist() == [128]


def test_flicker_of_the_whole_picture_is_not_blown_up():
    """All pixels change alike: rounding errors must not become a picture."""
    flicker = torch.randint(0, 100, (200, 1, 1, 1), generator=torch.Generator().manual_seed(3))
    frames = (video(1) // 2 + flicker).to(torch.uint8)
    assert as_picture(dynamic_image(frames)).unique().tolist() == [128]
    image = torch.full((3, 4, 4), 1000.0)
    image[1, 2, 3] = torch.nextafter(image[1, 2, 3], torch.tensor(torch.inf))
    assert as_picture(image).unique().tolist() == [128]
    image[1, 2, 3] = 1000.1
    assert as_picture(image).unique().tolist() == [0, 255]


def test_damaged_input_is_refused():
    for shape in ((3, 5, 5), (0, 3, 5, 5), (4, 1, 5, 5)):
        with pytest.raises(ImageError, match="frames"):
            dynamic_image(torch.zeros(shape))
    for shape in ((1, 5, 5), (5, 5), (3, 0, 5)):
        with pytest.raises(ImageError, match="raw dynamic image"):
            as_picture(torch.zeros(shape))
    for value in (math.nan, math.inf):
        image = torch.zeros(3, 2, 2)
        image[1, 0, 0] = value
        with pytest.raises(ImageError, match="finite"):
            as_picture(image)
    with pytest.raises(UsageError, match="at least one frame"):
        rank_pooling_weights(0)


def begins(found):
    return [window.start for window in found]


def test_windows():
    assert windows(37, "single") == [range(37)]
    many = windows(100, "multiple")
    assert begins(many) == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert {len(window) for window in many} == {10}
    assert begins(windows(20, "multiple", size=10, count=3)) == [0, 5, 10]
    assert begins(windows(20, "multiple", size=10, count=1)) == [5]
    assert begins(windows(11, "multiple", size=10, count=4)) == [0, 0, 0, 1]
    assert windows(10, "multiple", count=2) == [range(10)] * 2
    assert windows(4, "multiple", count=3) == [range(4)] * 3
    assert begins(windows(35, "dense", size=10, stride=6)) == [0, 6, 12, 18, 24]
    assert begins(windows(34, "dense", size=10, stride=6)) == [0, 6, 12, 18, 24]
    assert begins(windows(33, "dense", size=10, stride=6)) == [0, 6, 12, 18]
    assert windows(4, "dense") == [range(4)]


def test_windows_lie_within_the_track_and_reach_its_ends():
    for length in range(1, 40):
        for count in (1, 2, 5):
            found = windows(length, "multiple", size=7, count=count)
            assert len(found) == count
            assert {len(window) for window in found} == {min(7, length)}
            steps = [b - a for a, b in pairwise(begins(found))]
            assert not steps or max(steps) - min(steps) <= 1
            if count > 1:
                assert (found[0][0], found[-1][-1]) == (0, length - 1)
        dense = windows(length, "dense", size=7, stride=3)
        assert {len(window) for window in dense} == {min(7, length)}
        assert dense[-1][-1] < length
        assert dense[-1].start + 3 + 7 > length, "one more would have fitted"


@pytest.mark.parametrize(
    "wrong", [{"length": 0}, {"size": 0}, {"count": 0}, {"stride": 0}, {"formulation": "sparse"}, {"length": -3}]
)
def test_windows_refuse(wrong):
    with pytest.raises(UsageError):
        windows(**({"length": 20, "formulation": "dense"} | wrong))


def face(identity, video, frame_s):
    return {"identity": identity, "video": video, "frame_s": frame_s, "path": f"{identity}/{video}/{frame_s}.png"}


def test_tracks():
    rows = [
        face("b", "v1", "10.0"),  # later than 9.8, though not as text
        face("b", "v1", "9.8"),
        face("a", "v2", "3"),
        face("b", "v1", "9.6"),
        face("a", "v1", "0.6"),
        face("a", "v1", "1.1"),  # 0.5 s later; the difference of the two floats is a little more
        face("a", "v1", "1.62"),
        face("a", "v1", ""),
        face("a", "", "1.2"),
        {"identity": "a", "path": "loose.png"},
    ]
    tracks = face_tracks(rows)
    seen = [(track.identity, track.video, [row["frame_s"] for row in track.rows]) for track in tracks]
    assert seen == [
        ("a", "v1", ["0.6", "1.1"]),
        ("a", "v1", ["1.62"]),
        ("a", "v2", ["3"]),
        ("b", "v1", ["9.6", "9.8", "10.0"]),
    ]
    assert [len(track) for track in tracks] == [2, 1, 1, 3]
    assert face_tracks(reversed(rows)) == tracks
    assert tracks[3].rows[0] is rows[3]
    assert [len(track) for track in face_tracks(rows, max_gap_s=0.1)] == [1] * 7
    assert [len(track) for track in face_tracks(rows, max_gap_s=0.55)] == [3, 1, 3]
    assert face_tracks([]) == []


@pytest.mark.parametrize("second", ["soon", "nan", "inf"])
def test_times_must_be_numbers(second):
    with pytest.raises(DatasetError, match="numbers in column frame_s"):
        face_tracks([face("a", "v", "1"), face("a", "v", second)])


def test_matched_stride():
    table = {(30, 10): 3, (27, 10): 3, (25, 10): 2, (10, 10): 1, (9, 2): 9, (2, 2): 2, (7, 1): 7, (1, 1): 1}
    for (longer, shorter), stride in table.items():
        assert matched_stride(longer, shorter) == matched_stride(shorter, longer) == stride
    assert [len(range(0, longer, matched_stride(longer, 10))) for longer in (30, 27, 25)] == [10, 9, 13]
    for shorter in range(1, 20):
        for longer in range(shorter, 60):
            left = len(range(0, longer, matched_stride(longer, shorter)))
            assert left >= max(1, shorter - 1)
    with pytest.raises(UsageError, match="5 and 0"):
        matched_stride(5, 0)
