"""`s2f-eval report`: one page of everything that can be said from a reconstructions folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from s2f.commands.program import EXIT_OK, add_options, typed
from s2f.errors import OutputError


@dataclass(frozen=True)
class ReportConfig:
    """Arguments of `s2f-eval report`.

    Args:
        reconstructions: reconstructions folder, written by `s2f-eval reconstruct` (docs/contracts.md).
        out: the HTML file; if not given, report.html in the folder.
        classifier: folder that `s2f-eval probes` wrote, or package.module:factory of your own; adds demographics.
        truth: simulated dataset folder that was reconstructed; adds planted correlations and the ideal observer.
        landmarks: starter, dlib, dlib-hog (a faster face detector), or the folder of a network.
        lpips: safetensors file of torchvision's alexnet, vgg16 or squeezenet1_1 trained on ImageNet; adds LPIPS.
        examples: number of people shown, chosen at random; half as many of the worst are shown too.
        seed: of all random draws.
    """

    reconstructions: str
    out: str | None = None
    classifier: str | None = None
    truth: str | None = None
    landmarks: str = "starter"
    lpips: str | None = None
    examples: int = 12
    seed: int = 0


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    add_options(parser, ReportConfig, ("reconstructions",))


def run(arguments: Namespace) -> int:
    """Evaluate, write the page and say so; 0 done."""
    from eval.reconstructions.folder import read_reconstructions
    from eval.report.collect import Options, find_out
    from eval.report.page import report_page
    from s2f.prepare.jobs.results import writing
    from s2f.runtime.files import write_text

    config = typed(ReportConfig, arguments)
    options = Options(config.classifier, config.truth, config.landmarks, config.lpips, config.examples, config.seed)
    folder = read_reconstructions(config.reconstructions)
    out = folder.root / "report.html" if config.out is None else Path(config.out)
    if out.is_dir() or not out.parent.is_dir():
        raise OutputError("a file name in a folder that exists", str(out), "give another --out")
    found = find_out(folder, options)
    with writing(out.parent):
        write_text(out, report_page(found))
    print(
        f"{out}: {len(folder.people)} people, {len(found.others)} further reports, {len(found.trouble)} pictures "
        f"without landmarks; {out.stat().st_size / 1e6:.1f} MB"
    )
    return EXIT_OK
