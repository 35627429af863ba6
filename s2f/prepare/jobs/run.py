"""The work of `s2f prepare` once a dataset has been looked through: media files, tables, one summary."""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from s2f.errors import OutputError, UsageError
from s2f.faces.detection import gpus
from s2f.prepare.config import PrepareConfig
from s2f.prepare.jobs.merge import read_results, sweep, write_tables
from s2f.prepare.jobs.plan import Job, plan_jobs
from s2f.prepare.jobs.results import FOLDER, Result, part_path, read_part, still_good, write_part
from s2f.prepare.jobs.worker import Worker
from s2f.prepare.media.audio import SpeechFinder
from s2f.prepare.media.faces import FaceModels
from s2f.prepare.media.video import require_pyav
from s2f.prepare.sources.found import Sources, is_film
from s2f.runtime.files import file_sha256, write_text, writing
from s2f.runtime.processes import Processes, processes
from s2f.version import __version__

COMMAND = "s2f prepare"
PLAN, SUMMARY = "plan.json", "dataset.json"
SAVE_EVERY_S = 30.0
NEED_PYAV = (".m4a", ".aac")  # besides films


def write_dataset(sources: Sources, config: PrepareConfig, facts: dict[str, Any]) -> dict[str, Any]:
    """Write a dataset folder (docs/contracts.md); an interrupted run is resumed, and a grown copy is added to.

    Every process of a launcher does its share of the files; the first one writes the tables at the end. What is
    written depends on the sources and the settings alone: not on their order, on the number of processes, or on how
    often the run was interrupted.

    Args:
        sources: what an adaptor found, every person with a split.
        config: the settings.
        facts: further entries of dataset.json.

    Returns:
        The content of dataset.json.

    Raises:
        UsageError: a setting out of range, or an output folder within the dataset.
        AssetMissing: dlib, a model file, PyAV or silero-vad is needed and not there.
        OutputError: a folder with other content or begun with other settings, or one that cannot be written.
        DatasetError: the dataset disappears.
    """
    config.check()
    out, team = Path(config.out), processes()
    faces_root = sources.faces_root or sources.root
    _require_apart(out, sources.root, faces_root)
    jobs, unused = plan_jobs(sources, config.frames_per_clip)
    models, finder = _models(jobs, config, team)
    plan = _plan(config, models, finder)
    if team.is_main:
        _claim_folder(out, plan)
    team.wait()
    with _one_thread():
        _work(jobs, Worker(config, out, sources.root, faces_root, models, finder), team)
    team.wait()
    if team.is_main:
        with writing(out):
            done = read_results(out, jobs)
            tables = write_tables(out, sources.people, done, unused)
            sweep(out, done)
            settings = {name: value for name, value in asdict(config).items() if name != "out"}
            summary = {"command": COMMAND, "s2f": __version__, "settings": settings, "made_with": plan} | facts | tables
            write_text(out / SUMMARY, json.dumps(summary, indent=2))
    team.wait()
    return dict(json.loads((out / SUMMARY).read_text(encoding="utf-8")))


def _require_apart(out: Path, *roots: Path) -> None:
    for root in roots:
        if out.resolve().is_relative_to(root.resolve()):
            raise UsageError(f"an output folder outside {root}", f"{out}", "give another: a later run would scan it")


def _models(
    jobs: Sequence[Job], config: PrepareConfig, team: Processes
) -> tuple[FaceModels | None, SpeechFinder | None]:
    """What these jobs need; whatever is missing is missed now."""
    paths = [job.source.path.lower() for job in jobs]
    if any(is_film(path) or path.endswith(NEED_PYAV) for path in paths):
        require_pyav()
    models = finder = None
    if any(job.kind == "face" for job in jobs):
        models = FaceModels(config.detector, config.landmarks, team.local_index)
        if team.is_main and config.detector == "auto":
            slow = "; on this CPU --detector hog is some fifty times faster, but it sees frontal faces only"
            note = slow if models.facts["detector"] == "cnn" and not gpus() else ""
            print(f"s2f: faces are found by dlib's {models.facts['detector']} detector{note}", file=sys.stderr)
    if config.voice_activity and any(job.kind == "voice" for job in jobs):
        finder = SpeechFinder()
    return models, finder


def _plan(config: PrepareConfig, models: FaceModels | None, finder: SpeechFinder | None) -> dict[str, Any]:
    """What decides the media; which models do is known only where they are needed."""
    plan = {"command": COMMAND, "s2f": __version__, "dataset": config.dataset, **config.decides_media()}
    del plan["detector"]
    if models:
        plan |= models.facts
    if finder:
        plan["voice_activity_sha256"] = file_sha256(finder.path)
    return plan


def _claim_folder(out: Path, plan: dict[str, Any]) -> None:
    """Store what decides the media, or compare it with what an earlier run stored."""
    stored, fix = out / PLAN, "repeat the old settings to resume, or give a new folder"
    with writing(out):
        if not stored.is_file() and out.exists() and (not out.is_dir() or _foreign(out)):
            raise OutputError("a new or empty output folder", f"{out} with other content", "give another folder")
        out.mkdir(parents=True, exist_ok=True)
        before = plan
        if stored.is_file():
            try:
                before = dict(json.loads(stored.read_text(encoding="utf-8")))
            except (ValueError, TypeError) as error:
                got = f"{stored} with other content"
                raise OutputError("the settings of an earlier run in plan.json", got, "give another folder") from error
        known = plan.keys() & {*before, "command", "s2f"}
        if changed := sorted(name for name in known if plan[name] != before.get(name)):
            raise OutputError(f"the settings that {out} was begun with", f"another {', '.join(changed)}", fix)
        write_text(stored, json.dumps(before | plan, indent=2))
        (out / SUMMARY).unlink(missing_ok=True)  # until everything else is written
        (out / FOLDER).mkdir(exist_ok=True)


def _foreign(out: Path) -> bool:
    return any(not path.name.startswith(f".{PLAN}.") for path in out.iterdir())


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute in one thread: then sums do not depend on how many processes share the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _work(jobs: Sequence[Job], worker: Worker, team: Processes) -> None:
    """Do this process's buckets."""
    buckets: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        buckets[job.bucket].append(job)
    own = team.share(sorted(buckets))
    name = "prepare" if team.count == 1 else f"prepare {team.index}"
    total = sum(len(buckets[bucket]) for bucket in own)
    with tqdm(total=total, desc=name, unit="file", disable=None, position=team.local_index) as bar:
        for bucket in own:
            _do_bucket(part_path(worker.out, bucket), buckets[bucket], worker, bar.update)


def _do_bucket(path: Path, jobs: Sequence[Job], worker: Worker, advance: Callable[[], Any]) -> None:
    """Do the jobs of a bucket that an earlier run did not do, and store their results now and then."""
    before = read_part(path)
    results: dict[str, Result] = {}
    saved = time.monotonic()
    for job in jobs:
        result = before.get(job.key)
        if result is None or not still_good(result, worker.path(job), worker.out):
            result = worker.do(job)
        results[job.key] = result
        advance()
        if time.monotonic() - saved > SAVE_EVERY_S:
            with writing(worker.out):
                write_part(path, before | results)
            saved = time.monotonic()
    if results != before:
        with writing(worker.out):
            write_part(path, results)
