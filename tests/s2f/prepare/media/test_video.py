"""Pictures from films: the right moment in every container, and films that are damaged or none."""

import sys

import numpy as np
import pytest

from s2f.errors import AssetMissing, ImageError
from s2f.prepare.media import video
from s2f.prepare.media.video import film_frames
from tests.s2f.prepare.material import CODECS, FPS, film, time_shown

SECONDS = 6.0
ODD = {"live": {"live": "1"}, "fragments": {"movflags": "frag_keyframe+empty_moov"}}


def written(folder, data, name="a.mp4"):
    path = folder / name
    path.write_bytes(data)
    return path


def shown(frames):
    """Moments at which pictures are on screen, by their brightness."""
    return [time_shown(frame.image, SECONDS) for frame in frames]


@pytest.mark.parametrize("container", CODECS)
def test_pictures_are_spread_evenly_in_every_container(tmp_path, container):
    path = written(tmp_path, film(SECONDS, container), f"a.{container}")
    for count in (1, 4):
        frames = list(film_frames(path, count))
        wanted = [(k + 0.5) / count * SECONDS for k in range(count)]
        np.testing.assert_allclose([frame.wanted_s for frame in frames], wanted, atol=1 / FPS)
        np.testing.assert_allclose(shown(frames), [frame.shown_s for frame in frames], atol=0.1)
        for frame in frames:
            assert frame.wanted_s - 1 / FPS - 1e-3 <= frame.shown_s <= frame.wanted_s + 1e-3
            assert frame.image.shape == (64, 64, 3)
            assert frame.image.dtype == np.uint8


def test_the_picture_on_screen_is_taken(tmp_path):
    """At 25 pictures a second the middle of 0 to 1.02 s, 0.51 s, still shows the 13th picture, from 0.48 s."""
    (frame,) = film_frames(written(tmp_path, film(SECONDS)), 1, 0.0, 1.02)
    assert frame.wanted_s == pytest.approx(0.51)
    assert frame.shown_s == 0.48
    (frame,) = film_frames(tmp_path / "a.mp4", 1, 0.0, 1.04)
    assert frame.shown_s == 0.52


def test_a_part_of_a_film(tmp_path):
    path = written(tmp_path, film(SECONDS))
    frames = list(film_frames(path, 2, start_s=2.0, end_s=4.0))
    assert [frame.wanted_s for frame in frames] == [2.5, 3.5]
    np.testing.assert_allclose(shown(frames), [2.5, 3.5], atol=0.1)
    to_the_end = [frame.wanted_s for frame in film_frames(path, 2, start_s=2.0)]
    assert to_the_end == [frame.wanted_s for frame in film_frames(path, 2, 2.0, 99.0)] == [3.0, 5.0]
    for start_s, end_s in ((7.0, None), (6.5, 8.0)):
        with pytest.raises(ImageError, match="a part of a film that holds pictures"):
            list(film_frames(path, 1, start_s, end_s))


@pytest.mark.parametrize("kind", ODD)
def test_films_that_do_not_say_how_long_they_are(tmp_path, kind):
    container = "matroska" if kind == "live" else "mp4"
    frames = list(film_frames(written(tmp_path, film(SECONDS, container, options=ODD[kind])), 3))
    np.testing.assert_allclose(shown(frames), [1, 3, 5], atol=0.1)


@pytest.mark.parametrize("container", ["matroska", "flv", "mov", "avi"])
def test_the_sound_may_be_longer_than_the_pictures(tmp_path, container):
    path = written(tmp_path, film(SECONDS, container, sound_s=11.0))
    frames = list(film_frames(path, 3))
    np.testing.assert_allclose(shown(frames), [1, 3, 5], atol=0.1)


def test_one_key_frame_and_seeking_that_fails(tmp_path, monkeypatch):
    path = written(tmp_path, film(SECONDS, key_frames=1000))
    expected = list(film_frames(path, 3))
    np.testing.assert_allclose(shown(expected), [1, 3, 5], atol=0.1)
    on_screen = video._on_screen

    def cannot_seek(av, path, second, seek):
        return None if seek else on_screen(av, path, second, seek)

    monkeypatch.setattr(video, "_on_screen", cannot_seek)
    for frame, other in zip(expected, film_frames(path, 3), strict=True):
        assert frame.shown_s == other.shown_s
        np.testing.assert_array_equal(frame.image, other.image)


def test_a_truncated_film_gives_what_it_has(tmp_path):
    data = film(SECONDS, options={"movflags": "faststart"})
    for share in (0.72, 0.8):
        frames = list(film_frames(written(tmp_path, data[: round(share * len(data))]), 12))
        assert len(frames) == 12
        decoded = [frame for frame in frames if frame.image is not None]
        assert 3 <= len(decoded) <= 11
        assert frames[: len(decoded)] == decoded  # the beginning is there
        assert frames[-1] == video.Frame(frames[-1].wanted_s)
        np.testing.assert_allclose(shown(decoded), [frame.shown_s for frame in decoded], atol=0.1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"This is a letter, not a film. " * 99,
        film(1.0)[:-600],  # its index lies at the end
        b"ffconcat version 1.0\nfile whole.mp4\n",
        b"#EXTM3U\n#EXTINF:1,\nwhole.mp4\n",
    ],
    ids=["empty", "text", "truncated", "list of files", "playlist"],
)
def test_what_is_no_film(tmp_path, data, monkeypatch):
    written(tmp_path, film(1.0), "whole.mp4")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageError, match="expected a film, got a file that is none or is damaged; copy"):
        list(film_frames(written(tmp_path, data), 1))


def test_sound_alone_is_no_film(tmp_path):
    from tests.s2f.test_audio import encoded_by_av, tone

    with pytest.raises(ImageError, match="expected a film"):
        list(film_frames(written(tmp_path, encoded_by_av(tone(2), 16000, "ipod", "aac")), 1))


def test_a_film_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        list(film_frames(tmp_path / "none.mp4", 1))


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AssetMissing, match=r"s2f\[codecs\]"):
        list(film_frames(tmp_path / "a.mp4", 1))
