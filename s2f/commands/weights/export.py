"""`s2f weights export`: ONNX files of a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from jsonargparse import ArgumentParser, Namespace

from s2f.commands.program import EXIT_OK, add_options, typed


@dataclass(frozen=True)
class ExportConfig:
    """Arguments of `s2f weights export`.

    Args:
        checkpoint: "starter", a checkpoint folder, or the folder of one network.
        out: folder to make.
    """

    checkpoint: str
    out: str


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, ExportConfig, ("checkpoint",))


def run(arguments: Namespace) -> int:
    """Export, and print the differences from PyTorch; 0 done."""
    from s2f.checkpoints.loading import packaged
    from s2f.weights.onnx_export import export_onnx

    config = typed(ExportConfig, arguments)
    for file in export_onnx(packaged().get(config.checkpoint, config.checkpoint), config.out):
        print(f"{file.file}: {file.inputs} -> {file.outputs}")
        for name, worst, largest in file.differences:
            print(f"  {name}: largest difference from PyTorch {worst:.1e}, of values up to {largest:.3g}")
    return EXIT_OK
