"""`s2f doctor`: what works on this machine, what is missing, who needs it and how to get it."""

from __future__ import annotations

import importlib
import json
import platform
from dataclasses import asdict, dataclass
from importlib import metadata
from io import BytesIO
from typing import Any

import numpy as np
from jsonargparse import ArgumentParser, Namespace

from s2f import audio
from s2f.checkpoints import loading
from s2f.commands.program import EXIT_NO, EXIT_OK, add_options, typed
from s2f.errors import S2fError
from s2f.faces import detection
from s2f.version import __version__

CORE = (
    *("torch", "torchvision", "diffusers", "accelerate", "safetensors", "kornia", "librosa", "numpy", "scipy"),
    *("scikit-learn", "pillow", "soundfile", "soxr", "jsonargparse"),
)
OPTIONAL = (
    *("av", "dlib", "face_recognition_models", "gradio", "h5py", "onnx", "onnxruntime", "onnxscript", "protobuf"),
    *("silero-vad", "webdataset"),
)
PROBE_HZ = 16000
SOUNDFILE_FORMATS = {"wav": None, "flac": None, "mp3": None, "ogg": "VORBIS"}
PYAV_FORMATS = {"m4a": ("ipod", "aac", 16000), "webm": ("webm", "libopus", 48000)}


@dataclass(frozen=True)
class DoctorConfig:
    """Arguments of `s2f doctor`.

    Args:
        json: print one JSON object instead of the table.
    """

    json: bool = False


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, DoctorConfig)


def run(arguments: Namespace) -> int:
    """Print the report; 0 the core works, 1 it does not."""
    found = report()
    print(json.dumps(found, indent=2) if typed(DoctorConfig, arguments).json else table(found))
    return EXIT_OK if found["ok"] else EXIT_NO


@dataclass(frozen=True)
class Asset:
    """One model file or folder that a part of s2f needs.

    Attributes:
        name: what it is.
        expected_at: where it is looked for.
        found: whether it is there and usable.
        detail: size and hash, or why it is not usable.
        needed_by: which commands need it.
        how_to_get: what to do if it is missing.
    """

    name: str
    expected_at: str
    found: bool
    detail: str
    needed_by: str
    how_to_get: str


def report() -> dict[str, Any]:
    """Examine this machine.

    Returns:
        JSON-serialisable: `ok` (the core works), `packages` (name to version or None), `devices`, `codecs`
        (format to "ok" or the reason against it) and `assets` (see `Asset`).
    """
    packages = {name: _version(name) for name in CORE + OPTIONAL}
    codecs = {name: _probe(name) for name in (*SOUNDFILE_FORMATS, *PYAV_FORMATS)}
    from s2f.faces import landmarks

    detector = ("face detector", detection.DETECTOR_FILE, detection.DETECTOR_VARIABLE)
    predictor = ("landmark predictor", landmarks.PREDICTOR_FILE, landmarks.PREDICTOR_VARIABLE)
    assets = [
        _starter(),
        _dlib_model(*detector, "s2f prepare and s2f demo (without it the HOG detector), s2f-eval demographics --faces"),
        _dlib_model(*predictor, "s2f prepare (or --landmarks starter), s2f-eval simulated --landmarks dlib"),
    ]
    core_codecs = all(codecs[name] == "ok" for name in SOUNDFILE_FORMATS)
    return {
        "ok": all(packages[name] for name in CORE) and core_codecs and assets[0].found,
        "s2f": __version__,
        "python": platform.python_version(),
        "packages": packages,
        "devices": _devices(),
        "codecs": codecs,
        "assets": [asdict(asset) for asset in assets],
    }


def table(found: dict[str, Any]) -> str:
    """Lay a report out for people.

    Args:
        found: what `report` returned.

    Returns:
        Several lines of text.
    """
    lines = [f"s2f {found['s2f']} on Python {found['python']}; devices: {', '.join(found['devices']) or 'none'}", ""]
    lines += [f"  {name:<24}{version or 'not installed'}" for name, version in found["packages"].items()]
    lines += ["", "decoding"]
    lines += [f"  {name:<24}{state}" for name, state in found["codecs"].items()]
    lines += ["", "assets"]
    for asset in found["assets"]:
        lines.append(f"  {asset['name']:<24}{'ok' if asset['found'] else 'MISSING'}: {asset['detail']}")
        lines.append(f"  {'':<24}looked for at {asset['expected_at']}; needed by {asset['needed_by']}")
        if not asset["found"]:
            lines.append(f"  {'':<24}to get it: {asset['how_to_get']}")
    verdict = "the core works" if found["ok"] else "the core does NOT work: see what is missing above"
    return "\n".join([*lines, "", verdict])


def _version(name: str) -> str | None:
    for distribution in (name, f"{name}-bin"):  # dlib comes under either name
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None


def _devices() -> list[str]:
    try:
        import torch
    except ImportError:
        return []
    cuda = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [f"cpu ({torch.get_num_threads()} threads)", *cuda, *mps]


def _probe(name: str) -> str:
    """Encode one second of a tone and decode it again through the front door; "ok" or the reason against it."""
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(PROBE_HZ) / PROBE_HZ)).astype(np.float32)
    stream = BytesIO()
    try:
        if name in SOUNDFILE_FORMATS:
            import soundfile

            soundfile.write(stream, tone, PROBE_HZ, format=name.upper(), subtype=SOUNDFILE_FORMATS[name])
        else:
            _write_pyav(stream, tone, *PYAV_FORMATS[name])
        decoded = audio.load(stream.getvalue(), PROBE_HZ)
    except ImportError as error:
        return f"not available ({error.name} is missing; install s2f[codecs])"
    except Exception as error:  # whatever a codec library raises is the answer here
        return f"not available ({error})"
    seconds = decoded.waveform.size / PROBE_HZ
    rms = float(np.sqrt(np.mean(decoded.waveform**2)))
    good = abs(seconds - 1) < 0.1 and abs(rms - 0.354) < 0.05
    return "ok" if good else f"wrong: a 1 s tone of rms 0.354 came back as {seconds:.2f} s of rms {rms:.3f}"


def _write_pyav(stream: BytesIO, tone: np.ndarray, container_format: str, codec: str, rate: int) -> None:
    av = importlib.import_module("av")
    with av.open(stream, "w", format=container_format) as container:
        track = container.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        frame.sample_rate = PROBE_HZ
        fitted = av.AudioResampler(format=track.codec_context.format.name, layout="mono", rate=rate)
        for block in [*fitted.resample(frame), *fitted.resample(None)]:
            container.mux(track.encode(block))
        container.mux(track.encode(None))


def _starter() -> Asset:
    folder = loading.packaged()[loading.STARTER]
    try:
        from s2f.checkpoints.provenance import weights_sha256
        from s2f.reconstruction.pipeline import Speech2FacePipeline

        Speech2FacePipeline.from_pretrained(loading.STARTER)
        size = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
        found, detail = True, f"loads strictly, {_size(size)}, sha256 {weights_sha256(folder)}"
    except (S2fError, ImportError) as error:
        found, detail = False, str(error)
    how = "install s2f again, or check out the whole repository"
    return Asset("starter checkpoint", str(folder), found, detail, "s2f reconstruct without --checkpoint", how)


def _dlib_model(kind: str, file_name: str, variable: str, needed_by: str) -> Asset:
    """A model file of dlib's, see `s2f.faces.detection.model_path`."""
    path = detection.packaged_model(file_name)
    try:
        path = detection.model_path(kind, file_name, variable)
        present, detail = True, _size(path.stat().st_size)
    except S2fError:
        present, detail = False, "no file"
    dlib = importlib.util.find_spec("dlib") is not None
    if not dlib:
        detail += "; the package dlib is not installed"
    how = f"{detection.INSTALL}, or point {variable} at the file"
    place = str(path) if path else f"face_recognition_models/models/{file_name}"
    return Asset(f"dlib {kind}", place, present and dlib, detail, needed_by, how)


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
