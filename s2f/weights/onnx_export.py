"""`s2f weights export`: voice encoders, face encoders and decoders as ONNX files that run without PyTorch.

A voice file starts from the waveform, its front end included, and takes any batch and any length from the encoder's
shortest on; a face file takes any batch of pictures at the contract size; a decoder file any batch of features. Every
file is run in onnxruntime and compared with PyTorch before the folder appears.
"""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from tqdm import tqdm

from decoder.normalized import NormalizedFaceDecoder
from encoders.face.base import FaceEncoder
from encoders.voice.base import VoiceEncoder
from s2f.checkpoints.provenance import weights_sha256
from s2f.errors import AssetMissing, CheckpointError, OutputError
from s2f.runtime.files import whole_folder
from s2f.version import __version__
from s2f.weights.registry import load_networks

INSTALL = "pip install 's2f[onnx]'"
TOLERANCE = 1e-4  # of the largest value, and at least of 1
BATCHES = (1, 3)
LENGTHS = (0.0, 1.37, 2.0)  # of the clips compared: the shortest, and in units of a second or the shortest


@dataclass(frozen=True)
class Exported:
    """One ONNX file.

    Attributes:
        name: of the network in the checkpoint.
        file: its name.
        inputs: names and shapes, for people.
        outputs: the same.
        differences: of each output, its name, the largest difference from PyTorch over batches and lengths, and the
            largest value compared.
    """

    name: str
    file: str
    inputs: str
    outputs: str
    differences: tuple[tuple[str, float, float], ...]

    @property
    def agrees(self) -> bool:
        """Whether every output is within 1e-4 of PyTorch's (of its largest value, where that is above 1)."""
        return all(worst <= TOLERANCE * max(1.0, largest) for _, worst, largest in self.differences)


class _Voice(nn.Module):
    def __init__(self, encoder: VoiceEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, waveform: Tensor) -> Tensor:
        return self.encoder.encode(waveform)


class _Face(nn.Module):
    def __init__(self, encoder: FaceEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor) -> Tensor:
        return self.encoder.features(image)


class _Decoder(nn.Module):
    def __init__(self, decoder: NormalizedFaceDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        output = self.decoder(feature)
        return output.image, output.landmarks


@dataclass(frozen=True)
class _Graph:
    """A network as it is exported: inputs of a batch and a length in samples, and what is said of them."""

    module: nn.Module
    inputs: tuple[str, str]
    outputs: list[tuple[str, str]]
    dynamic: dict[int, Any]
    draw: Callable[[int, float], Tensor]
    facts: dict[str, Any]


def export_onnx(folder: str | Path, out: str | Path) -> list[Exported]:
    """Export the encoders and the decoder of a checkpoint.

    Args:
        folder: a checkpoint, or the folder of one network. Networks of other kinds (heads, landmarks, the unexplained
            part) are left out.
        out: folder to make: `<network>.onnx` each, with the input contract in the file's metadata (`s2f`).

    Returns:
        What was written, with its differences from PyTorch.

    Raises:
        AssetMissing: onnx, onnxscript or onnxruntime is not installed.
        CheckpointError: see `load_network`; nothing to export; or a file that computes something else than PyTorch.
        OutputError: `out` exists.
    """
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise AssetMissing(f"the package {error.name} for ONNX files", "none installed", INSTALL) from error
    folder, final = Path(folder), Path(out)
    if final.exists():
        raise OutputError("a folder that does not exist yet", str(final), "choose another name or remove it")
    networks = load_networks(folder)
    graphs = {name: graph for name, network in networks.items() if (graph := _graph(network)) is not None}
    if not graphs:
        raise CheckpointError(
            f"a voice encoder, a face encoder or a decoder in {folder}", "none", "give another folder"
        )
    digest = weights_sha256(folder)
    with whole_folder(final) as partial:
        bar = tqdm(graphs.items(), desc="export", unit="network", disable=None)
        return [_export(name, graph, partial, digest) for name, graph in bar]


def _graph(network: ModelMixin) -> _Graph | None:
    free = torch.export.Dim.DYNAMIC
    if isinstance(network, VoiceEncoder):
        facts = {"sample_rate_hz": network.sample_rate_hz, "min_seconds": network.min_seconds}
        rate, shortest = network.sample_rate_hz, network.min_seconds
        outputs = [("feature", f"(batch, {network.embedding_dim})")]
        inputs = ("waveform", f"(batch, samples) mono in [-1, 1] at {network.sample_rate_hz} Hz")

        def clip(batch: int, length: float) -> Tensor:
            seconds = max(shortest, 1.0) * length if length else shortest
            return 0.1 * torch.randn(batch, math.ceil(seconds * rate))

        return _Graph(_Voice(network), inputs, outputs, {0: free, 1: free}, clip, facts)
    if isinstance(network, FaceEncoder):
        size = network.image_size_px
        inputs = ("image", f"(batch, 3, {size}, {size}) RGB in [0, 1]")
        outputs = [("feature", f"(batch, {network.embedding_dim})")]
        return _Graph(
            _Face(network),
            inputs,
            outputs,
            {0: free},
            lambda batch, _: torch.rand(batch, 3, size, size),
            {"image_size_px": size},
        )
    if isinstance(network, NormalizedFaceDecoder):
        size, count = network.embedding_dim, network.config.num_landmarks
        side = network.image_size_px
        outputs = [
            ("image", f"(batch, 3, {side}, {side}) RGB in [0, 1]"),
            ("landmarks", f"(batch, {count}, 2) pixels, x then y"),
        ]
        inputs = ("feature", f"(batch, {size})")
        return _Graph(
            _Decoder(network),
            inputs,
            outputs,
            {0: free},
            lambda batch, _: torch.randn(batch, size),
            {"image_size_px": side},
        )
    return None


def _export(name: str, graph: _Graph, folder: Path, digest: str) -> Exported:
    from s2f.weights.onnx_operators import TRANSLATIONS

    with torch.random.fork_rng(devices=[]), _quiet():
        torch.manual_seed(0)
        module = graph.module.eval()
        program = torch.onnx.export(
            module,
            (graph.draw(2, LENGTHS[1]),),
            dynamo=True,
            input_names=[graph.inputs[0]],
            output_names=[name for name, _ in graph.outputs],
            dynamic_shapes={graph.inputs[0]: graph.dynamic},
            custom_translation_table=TRANSLATIONS,
            verbose=False,
        )
        if program is None:
            raise CheckpointError(f"an ONNX program of {name}", "none", "report this; the exporter changed")
        contract = graph.facts | {"inputs": dict([graph.inputs]), "outputs": dict(graph.outputs)}
        facts = contract | {"version": __version__, "weights_sha256": digest}
        program.model.metadata_props["s2f"] = json.dumps(facts)
        path = folder / f"{name or 'network'}.onnx"
        program.save(str(path))
        differences = _compare(path, graph)
    inputs, outputs = " ".join(graph.inputs), ", ".join(" ".join(output) for output in graph.outputs)
    exported = Exported(name, path.name, inputs, outputs, differences)
    if not exported.agrees:
        expected = f"{path.name} within {TOLERANCE:g} of PyTorch"
        got = "differences of " + ", ".join(f"{worst:.2g} ({name})" for name, worst, _ in differences)
        raise CheckpointError(expected, got, "report this with the checkpoint's config.json")
    return exported


def _compare(path: Path, graph: _Graph) -> tuple[tuple[str, float, float], ...]:
    """Of each output the largest difference from PyTorch over two batches and three lengths, and the largest value."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its notes about buffers it could not share
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    worst, largest = np.zeros((2, len(graph.outputs)))
    for batch in BATCHES:
        for length in LENGTHS if len(graph.dynamic) > 1 else LENGTHS[:1]:
            given = graph.draw(batch, length)
            with torch.inference_mode():
                expected = graph.module(given)
            expected = expected if isinstance(expected, tuple) else (expected,)
            found = session.run(None, {graph.inputs[0]: given.numpy()})
            for place, (ours, theirs) in enumerate(zip(expected, found, strict=True)):
                worst[place] = max(worst[place], np.abs(ours.numpy() - theirs).max())
                largest[place] = max(largest[place], float(ours.abs().max()))
    names = [name for name, _ in graph.outputs]
    return tuple(zip(names, worst.tolist(), largest.tolist(), strict=True))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes to itself."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
