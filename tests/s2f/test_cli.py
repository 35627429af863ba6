"""The `s2f` command: what it writes, and one clear sentence with exit code 2 for every fault of the caller."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import s2f
from tests import CHECKOUT

RATE = 16000


def cold(*words):
    """Run the command in a process of its own."""
    command = [sys.executable, "-c", "import sys; from s2f.cli import main; sys.exit(main())", *map(str, words)]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120)


# --- reconstruct works ------------------------------------------------------------------------------------------------


def test_one_clip_to_one_png(run, tiny_checkpoint, tiny_pipeline, write_clip, tmp_path):
    clip, out = write_clip("a.wav"), tmp_path / "new" / "face.png"
    assert run("reconstruct", clip, "-o", out, "--checkpoint", tiny_checkpoint) == (0, f"{out}\n", "")
    with Image.open(out) as image:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(tiny_pipeline(clip).images[0]))
        assert image.text["ai_generated"] == "true"
        assert image.text["checkpoint"] == "tiny"
        assert re.fullmatch(r"[0-9a-f]{16}", image.text["checkpoint_sha256"])
        assert "not a likeness" in image.text["note"]


def test_folder_for_one_and_for_several(run, tiny_checkpoint, tiny_pipeline, write_clip, tmp_path):
    clips = [write_clip(f"{name}.wav", hz=hz) for name, hz in (("a", 90), ("b.1", 150), ("c", 210))]
    out = tmp_path / "faces"
    code, printed, _ = run("reconstruct", *clips, "-o", out, "--checkpoint", tiny_checkpoint, "--batch-size", 2)
    assert code == 0
    assert printed.split() == [str(out / name) for name in ("a.png", "b.1.png", "c.png")]
    expected = tiny_pipeline(clips, batch_size=2).images
    for name, image in zip(("a", "b.1", "c"), expected, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(out / f"{name}.png")), np.asarray(image))
    assert run("reconstruct", clips[0], "-o", tmp_path / "one", "--checkpoint", tiny_checkpoint)[0] == 0
    assert (tmp_path / "one" / "a.png").read_bytes() == (out / "a.png").read_bytes()


def test_warnings_name_the_clip_and_quiet_is_quiet(run, tiny_checkpoint, write_clip, tmp_path):
    clip, out = write_clip("a.wav", seconds=4), tmp_path / "face.png"
    code, _, err = run("reconstruct", clip, "-o", out, "--checkpoint", tiny_checkpoint)
    assert (code, err) == (0, f"s2f: {clip}: repeated: the clip lasts 4.00 s and 6 s are needed\n")
    assert run("reconstruct", clip, "-o", out, "--checkpoint", tiny_checkpoint, "--quiet") == (0, "", "")
    assert run("reconstruct", clip, "-o", out, "--checkpoint", tiny_checkpoint, "--seconds=4")[2] == ""


FORMATS = {
    "8 kHz stereo float": (8000, 6, 2, "FLOAT"),
    "48 kHz 24 bit": (48000, 6, 1, "PCM_24"),
    "ten minutes": (RATE, 600, 1, "PCM_16"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_usual_recordings_work(run, name, tiny_checkpoint, tmp_path):
    rate, seconds, channels, subtype = FORMATS[name]
    samples = np.random.default_rng(0).normal(0, 0.1, (rate * seconds, channels))
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype=subtype)
    out = tmp_path / "face.png"
    assert run("reconstruct", tmp_path / "a.wav", "-o", out, "--checkpoint", tiny_checkpoint)[0] == 0
    assert Image.open(out).size == (32, 32)


def test_config_file_and_the_command_line_beats_it(run, tiny_checkpoint, write_clip, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text(f"checkpoint: {tiny_checkpoint}\nseconds: 4\nquiet: true\n")
    clip, out = write_clip("a.wav", seconds=4), tmp_path / "face.png"
    assert run("reconstruct", clip, "-o", out, "--config", config) == (0, "", "")
    from_file = out.read_bytes()
    run("reconstruct", clip, "-o", out, "--checkpoint", tiny_checkpoint, "--seconds", 4)
    assert out.read_bytes() == from_file
    run("reconstruct", clip, "-o", out, "--config", config, "--seconds", 5)
    assert out.read_bytes() != from_file


@pytest.fixture
def varying_checkpoint(tiny_checkpoint):
    """The tiny checkpoint with a part to draw samples from."""
    model = s2f.UnexplainedVariation.fit(2 * torch.randn(50, 16, generator=torch.Generator().manual_seed(1)), 4)
    model.save_pretrained(tiny_checkpoint / "unexplained")
    path = tiny_checkpoint / "model_index.json"
    part = {"unexplained": ["s2f", "UnexplainedVariation"]}
    path.write_text(json.dumps(json.loads(path.read_text()) | part))
    return tiny_checkpoint


def test_samples_lie_beside_the_face_and_say_what_they_are(run, varying_checkpoint, write_clip, tmp_path):
    clip, out = write_clip("a.wav"), tmp_path / "new" / "face.png"
    options = ("--checkpoint", varying_checkpoint)
    names = [out, *(out.with_name(f"face_sample{number}.png") for number in (1, 2, 3))]
    written = "".join(f"{name}\n" for name in names)
    assert run("reconstruct", clip, "-o", out, *options, "--samples", 3, "--seed", 7) == (0, written, "")
    with_samples = [name.read_bytes() for name in names]
    pipeline = s2f.Speech2FacePipeline.from_pretrained(varying_checkpoint)
    expected = pipeline(clip, samples=3, generator=torch.Generator().manual_seed(7))
    for number, (name, image) in enumerate(zip(names, [*expected.images, *expected.samples[0]], strict=True)):
        with Image.open(name) as picture:
            np.testing.assert_array_equal(np.asarray(picture), np.asarray(image))
            assert picture.text["ai_generated"] == "true"
            told = f"a draw of what the voice does not determine (sample {number} of 3, seed 7)" if number else None
            assert picture.text.get("sample") == told
    run("reconstruct", clip, "-o", out, *options)
    assert out.read_bytes() == with_samples[0]  # the face itself does not depend on samples or seed
    run("reconstruct", clip, "-o", out, *options, "--samples", 3, "--seed", 8)
    assert names[1].read_bytes() != with_samples[1]


def test_samples_of_a_clip_do_not_depend_on_the_others(run, varying_checkpoint, write_clip, tmp_path):
    clips = [write_clip("a.wav", hz=100), write_clip("b.wav", hz=180)]
    options = ("--checkpoint", varying_checkpoint, "--samples", 2, "--quiet")
    assert run("reconstruct", *clips, "-o", tmp_path / "both", *options) == (0, "", "")
    assert run("reconstruct", clips[1], "-o", tmp_path / "one", *options) == (0, "", "")
    names = [f"{stem}{end}.png" for stem in "ab" for end in ("", "_sample1", "_sample2")]
    assert sorted(path.name for path in (tmp_path / "both").iterdir()) == names
    for name in names[3:]:
        a, b = (np.asarray(Image.open(tmp_path / folder / name)).astype(int) for folder in ("both", "one"))
        assert np.abs(a - b).max() <= 1


# --- reconstruct refuses ----------------------------------------------------------------------------------------------


def wav(path, samples, **options):
    soundfile.write(path, samples, RATE, **options)


def with_nan():
    samples = np.random.default_rng(0).normal(0, 0.1, RATE)
    samples[77] = np.nan
    return samples


BAD_CLIPS = {
    "not audio": (lambda path: path.write_text("Dear reader, this is a letter.\n" * 99), "not audio"),
    "zero bytes": (lambda path: path.touch(), "zero bytes"),
    "0.2 s": (lambda path: wav(path, np.ones(RATE // 5) * 0.1), "got 0.20 s"),
    "digital silence": (lambda path: wav(path, np.zeros(RATE)), "got silence"),
    "NaN": (lambda path: wav(path, with_nan(), subtype="FLOAT"), "NaN or infinite"),
    "folder": (lambda path: path.mkdir(), "got the folder"),
    "missing": (lambda path: None, "got no file at"),
}


@pytest.mark.parametrize("name", BAD_CLIPS)
def test_bad_clip(refused, name, tiny_checkpoint, tmp_path):
    make, words = BAD_CLIPS[name]
    make(tmp_path / "a.wav")
    assert words in refused(
        "reconstruct", tmp_path / "a.wav", "-o", tmp_path / "f.png", "--checkpoint", tiny_checkpoint
    )
    assert not (tmp_path / "f.png").exists()


@pytest.mark.parametrize("batch_size", [1, 8])
def test_one_bad_clip_does_not_lose_the_others(run, tiny_checkpoint, write_clip, tmp_path, batch_size):
    clips = [write_clip("a.wav"), tmp_path / "bad.wav", write_clip("c.wav")]
    clips[1].write_text("no sound")
    options = ("--checkpoint", tiny_checkpoint, "--batch_size", batch_size)
    code, out, err = run("reconstruct", *clips, "-o", tmp_path / "faces", *options)
    assert code == 2
    assert sorted(path.name for path in (tmp_path / "faces").iterdir()) == ["a.png", "c.png"]
    assert len(out.splitlines()) == 2
    assert re.fullmatch(rf"s2f: error: {clips[1]}: expected an audio file [^\n]+\n", err)


def change_decoder(folder, change):
    (path,) = (folder / "decoder").glob("*.safetensors")
    state = load_file(path)
    change(state)
    save_file(state, path)


def truncate(folder):
    (path,) = (folder / "decoder").glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-100])


BAD_CHECKPOINTS = {
    "missing": (lambda folder: folder.rename(folder.with_name("moved")), "no folder at"),
    "truncated": (truncate, "truncated or damaged"),
    "one tensor removed": (lambda f: change_decoder(f, lambda s: s.pop("first.bias")), "missing first.bias"),
    "one tensor added": (lambda f: change_decoder(f, lambda s: s.update(x=s["first.bias"] * 1)), "extra x"),
    "one misshapen": (
        lambda f: change_decoder(f, lambda s: s.update({"base.bias": s["base.bias"][:3]})),
        "(3,) instead",
    ),
}


@pytest.mark.parametrize("name", BAD_CHECKPOINTS)
def test_bad_checkpoint(refused, name, tiny_checkpoint, write_clip, tmp_path):
    damage, words = BAD_CHECKPOINTS[name]
    damage(tiny_checkpoint)
    clip = write_clip("a.wav")
    assert words in refused("reconstruct", clip, "-o", tmp_path / "face.png", "--checkpoint", tiny_checkpoint)


def test_places_that_cannot_be_written(refused, tiny_checkpoint, write_clip, tmp_path):
    clip = write_clip("a.wav")
    for out in (clip / "face.png", clip, "/dev/null/x/face.png", "/dev/null/x"):
        message = refused("reconstruct", clip, "-o", out, "--checkpoint", tiny_checkpoint)
        assert "choose a" in message


def test_usage(refused, tiny_checkpoint, write_clip, tmp_path):
    clip, other = write_clip("a.wav"), write_clip("b.wav")
    out = tmp_path / "face.png"
    assert "a folder as -o" in refused("reconstruct", clip, other, "-o", out)
    assert "would both become A.png" in refused("reconstruct", clip, tmp_path / "x" / "A.mp3", "-o", tmp_path / "faces")
    assert "would both become a.png" in refused("reconstruct", clip, clip, "-o", tmp_path / "faces")
    assert "end the name in .png" in refused("reconstruct", clip, "-o", tmp_path / "face.jpg")
    assert "required" in refused("reconstruct", clip)
    assert "required" in refused("reconstruct", "-o", out)
    assert "seconds" in refused("reconstruct", clip, "-o", out, "--seconds", "six")
    assert "did you mean checkpoint?" in refused("reconstruct", clip, "-o", out, "--chekpoint", "starter")
    assert "reconstruct" in refused("reconstrukt", clip)
    assert "reconstruct" in refused()
    assert "starter" in refused("reconstruct", clip, "-o", out, "--checkpoint", "unknown")
    options = ("--checkpoint", tiny_checkpoint)
    assert "seconds of at least" in refused("reconstruct", clip, "-o", out, "--seconds", 2, *options)
    assert "positive" in refused("reconstruct", clip, "-o", out, "--seconds", -1, *options)
    assert "batch_size" in refused("reconstruct", clip, "-o", out, "--batch-size", 0, *options)
    assert "a checkpoint with the part" in refused("reconstruct", clip, "-o", out, "--samples", 1, *options)
    assert "samples of at least 0" in refused("reconstruct", clip, "-o", out, "--samples", -1, *options)
    assert "a seed of 0" in refused("reconstruct", clip, "-o", out, "--seed", -1, *options)
    clips = (clip, tmp_path / "a_sample2.wav")
    assert "a_sample2.png" in refused("reconstruct", *clips, "-o", tmp_path / "faces", "--samples", 2)
    assert "a device" in refused("reconstruct", clip, "-o", out, "--device", "toaster", *options)


def test_unknown_key_in_a_config_file(refused, write_clip, tmp_path):
    (tmp_path / "c.yaml").write_text("secnods: 4\n")
    message = refused("reconstruct", write_clip("a.wav"), "-o", tmp_path / "f.png", "--config", tmp_path / "c.yaml")
    assert "secnods" in message
    assert "did you mean seconds?" in message


def test_interruption_leaves_nothing_half_written(run, tiny_checkpoint, write_clip, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("s2f.runtime.files.os.replace", interrupt)
    out = tmp_path / "faces"
    code, printed, err = run("reconstruct", write_clip("a.wav"), "-o", out, "--checkpoint", tiny_checkpoint)
    assert (code, printed, err) == (130, "", "s2f: error: interrupted\n")
    assert list(out.iterdir()) == []


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_simulate_takes_dashes_and_underscores(run, monkeypatch):
    from s2f.simulate.dataset import run as running
    from s2f.simulate.dataset import truth

    seen = []
    monkeypatch.setattr(running, "simulate", seen.append)
    monkeypatch.setattr(truth, "calibration", lambda _: "ideal observer")
    common = ("--voices", "v", "--makehuman", "m", "--identities", 3, "--views", 2, "--seed", 9)
    assert run("simulate", "out", *common, "--makehuman-assets", "x")[0] == 0
    assert run("simulate", "out", *common, "--makehuman_assets=x")[0] == 0
    assert seen[0] == seen[1]
    config = seen[0]
    assert [str(config.out), str(config.voices), str(config.makehuman)] == ["out", "v", "m"]
    assert str(config.makehuman_assets) == "x"
    assert (config.identities, config.views, config.seed) == (3, 2, 9)


def test_help_and_version(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(name in out for name in ("reconstruct", "doctor", "simulate", "shards"))
    assert run("--version") == (0, f"s2f {s2f.__version__}\n", "")
    code, out, _ = run("reconstruct", "--help")
    assert code == 0
    assert "CLIP" in out


def test_cold_start_of_the_package_and_of_help_needs_no_torch():
    probe = (
        "import sys, s2f; from s2f.cli import main; main(['--help'])\n"
        "sys.exit(bool({'torch', 's2f.simulate.dataset.run'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=CHECKOUT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_cold_process_says_nothing_but_its_result(tiny_checkpoint, write_clip, tmp_path):
    clip, out = write_clip("a.wav"), tmp_path / "face.png"
    done = cold("reconstruct", clip, "-o", out, "--checkpoint", tiny_checkpoint)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{out}\n", "")


def test_shipped_starter_draws_the_example(run, tmp_path):
    assert run("reconstruct", CHECKOUT / "examples" / "voice.wav", "-o", tmp_path / "face.png")[0] == 0
    with Image.open(tmp_path / "face.png") as image:
        assert image.size == (224, 224)
        assert image.text["checkpoint"] == "starter"
        assert np.asarray(image).std() > 20  # a picture, not a flat field
