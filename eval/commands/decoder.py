"""`s2f-eval decoder`: how well the face decoder draws the face of the feature it is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from eval.commands.options import show
from s2f.commands.program import add_options, typed


@dataclass(frozen=True)
class DecoderConfig:
    """Arguments of `s2f-eval decoder`.

    Args:
        reconstructions: reconstructions folder, written by `s2f-eval reconstruct` (docs/contracts.md).
        lpips: safetensors file of torchvision's alexnet, vgg16 or squeezenet1_1 trained on ImageNet; adds LPIPS.
        landmarks: "starter", "dlib", "dlib-hog" or the folder of a trained landmark network.
        out: folder that keeps the landmarks, so that an interrupted call goes on, and lists pictures without any.
        json: print one JSON object instead of the table.
    """

    reconstructions: str
    lpips: str | None = None
    landmarks: str = "starter"
    out: str | None = None
    json: bool = False


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, DecoderConfig, ("reconstructions",))


def run(arguments: Namespace) -> int:
    """Evaluate and print; 0 done."""
    from eval.reconstructions.decoder import evaluate
    from eval.reconstructions.folder import read_reconstructions

    config = typed(DecoderConfig, arguments)
    lpips, out = (Path(name) if name is not None else None for name in (config.lpips, config.out))
    return show(evaluate(read_reconstructions(config.reconstructions), lpips, config.landmarks, out), config.json)
