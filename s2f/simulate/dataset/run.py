"""Write a dataset folder of simulated people: voices made from real recordings, faces that hang together with them."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image
from tqdm import tqdm

from s2f.audio import load
from s2f.errors import OutputError, UsageError
from s2f.runtime.files import write_bytes, write_text
from s2f.simulate.dataset.config import SimulateConfig
from s2f.simulate.dataset.summary import write_summary
from s2f.simulate.dataset.tables import Made, identity_name, write_tables
from s2f.simulate.head.makehuman import load_head
from s2f.simulate.head.mesh import HeadRig
from s2f.simulate.identity.identity import Identity, Plan, Source, make_identity, make_voice, wild_rng
from s2f.simulate.identity.voice import fit_reference
from s2f.simulate.population.face_statistics import fit_natural_law
from s2f.simulate.population.solve import plant
from s2f.simulate.render.views import canonical_landmarks, render_canonical, render_wild, wild_landmarks
from s2f.simulate.voice.acoustics import VoiceMeasures, measure_voice
from s2f.simulate.voice.recordings import Recording, read_voices
from s2f.version import __version__

VALIDATION_SHARE = 0.1
SAMPLE_RATE_HZ = 16000
REFERENCE_SPEAKERS = 400
_DEAL_STREAM = 3


def simulate(config: SimulateConfig) -> Path:
    """Write the dataset folder; measured recordings, voices and pictures of an interrupted run are kept.

    Args:
        config: what to simulate.

    Returns:
        The dataset folder.

    Raises:
        UsageError: a setting out of range, or strengths that no population can have together.
        OutputError: a folder with other content, made with other settings, or that cannot be written.
        AssetMissing: MakeHuman is not where it should be.
        S2fError: voices that cannot be used, see `s2f.simulate.voice.recordings.read_voices`.
    """
    _check_numbers(config)
    config.sharing.resolved()
    recordings = read_voices(config.voices)
    head = load_head(config.makehuman, config.makehuman_assets, _cache(config))
    out = Path(config.out)
    _claim_folder(out, config, recordings)
    split = split_speakers(recordings, config.seed)
    dealt = deal_identities(recordings, split, config)
    readers = _reference_recordings(recordings, config.seed)
    measures = _measure_all(out, {r.path: r for r in (*readers, *dealt)}, config.workers)
    reference = fit_reference([(r.gender, measures[r.path]) for r in readers])
    men = sum(r.gender == "m" for r in recordings) / len(recordings)
    population = plant(fit_natural_law(HeadRig(head)), config.sharing, men, reference.correlation)
    plan = Plan(config.seed, reference, population)
    sources = [Source(k, r, measures[r.path]) for k, r in enumerate(dealt)]
    splits = [split[r.speaker] for r in dealt]
    work = _pooled(config.workers, _make, sources, _start_worker, (config, plan))
    made = list(tqdm(work, total=len(sources), desc="people", unit="person"))
    write_tables(out, config, plan, sources, splits, made)
    write_summary(out)
    return out


def _check_numbers(config: SimulateConfig) -> None:
    lowest = {"identities": 2, "views": 0, "seed": 0, "workers": 1}
    lowest |= {"canonical_size_px": 32, "wild_size_px": 32}
    for name, least in lowest.items():
        if getattr(config, name) < least:
            raise UsageError(f"{name} of at least {least}", f"{getattr(config, name)}", "raise it")


def _cache(config: SimulateConfig) -> Path:
    return Path(config.cache) if config.cache else Path.home() / ".cache" / "s2f"


def _claim_folder(out: Path, config: SimulateConfig, recordings: list[Recording]) -> None:
    """Store what decides the pictures and splits, or compare it with what an earlier run stored."""
    free = ("out", "voices", "makehuman", "makehuman_assets", "workers", "cache")
    settings = {name: value for name, value in asdict(config).items() if name not in free}
    settings["correlations"] = config.sharing.resolved()
    settings["hair_meshes"] = config.makehuman_assets is not None
    names = "\n".join(f"{r.speaker},{r.gender},{r.split},{r.path}" for r in recordings)
    settings |= {"version": __version__, "voices_hash": hashlib.sha256(names.encode()).hexdigest()}
    stored = out / "config.json"
    fix = "give another folder"
    try:
        if stored.is_file():
            _compare_settings(stored, settings)
            return
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise OutputError("a new or empty output folder", f"{out} with other content", fix)
        out.mkdir(parents=True, exist_ok=True)
        write_text(stored, json.dumps(settings, indent=2))
    except OSError as error:
        raise OutputError("a writable output folder", f"{error} for {out}", fix) from error


def _compare_settings(stored: Path, settings: dict) -> None:
    try:
        before = dict(json.loads(stored.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        expected, got = "the settings of an earlier run in config.json", f"{stored} with other content"
        raise OutputError(expected, got, "give another folder") from error
    if before != settings:
        changed = sorted(k for k in {*before, *settings} if before.get(k) != settings.get(k))
        expected, got = f"the settings that {stored.parent} was begun with", f"another {', '.join(changed)}"
        raise OutputError(expected, got, "repeat the old settings to resume, or give a new folder")


def split_speakers(recordings: list[Recording], seed: int) -> dict[str, str]:
    """Split speakers: "dev" ones become test, a tenth of each gender of the others validation.

    Args:
        recordings: all recordings.
        seed: seed of the draw.

    Returns:
        "train", "val" or "test" by speaker.
    """
    marks = {r.speaker: (r.gender, r.split) for r in recordings}
    split = {speaker: "test" if mark == "dev" else "train" for speaker, (_, mark) in marks.items()}
    rng = np.random.default_rng([seed, _DEAL_STREAM, 0])
    for gender in ("f", "m"):
        pool = sorted(s for s, (g, mark) in marks.items() if g == gender and mark != "dev")
        for speaker in rng.permutation(pool)[: round(VALIDATION_SHARE * len(pool))]:
            split[str(speaker)] = "val"
    return split


def deal_identities(recordings: list[Recording], split: dict[str, str], config: SimulateConfig) -> list[Recording]:
    """Deal identities to speakers as equally as possible, in a seeded order, and pick a recording for each.

    Args:
        recordings: all recordings.
        split: split of each speaker.
        config: how many identities, of which split, and the seed.

    Returns:
        The recording of each identity.

    Raises:
        UsageError: no speaker in the wanted split.
    """
    spoken: dict[str, list[Recording]] = {}
    for r in recordings:
        if config.only in (None, split[r.speaker]):
            spoken.setdefault(r.speaker, []).append(r)
    if not spoken:
        raise UsageError(f"a speaker in split {config.only}", f"none in {config.voices}", "give another split")
    order = np.random.default_rng([config.seed, _DEAL_STREAM, 1]).permutation(sorted(spoken))
    dealt = []
    for k in range(config.identities):
        choices = spoken[str(order[k % len(order)])]
        rng = np.random.default_rng([config.seed, _DEAL_STREAM, 2, k])
        dealt.append(choices[int(rng.integers(len(choices)))])
    return dealt


def _reference_recordings(recordings: list[Recording], seed: int) -> list[Recording]:
    """The first recording of up to `REFERENCE_SPEAKERS` speakers that are not marked dev, in a seeded order."""
    first: dict[str, Recording] = {}
    for r in recordings:
        if r.split != "dev":
            first.setdefault(r.speaker, r)
    order = np.random.default_rng([seed, _DEAL_STREAM, 3]).permutation(sorted(first))
    return [first[str(speaker)] for speaker in order[:REFERENCE_SPEAKERS]]


def _measure_all(out: Path, wanted: dict[str, Recording], workers: int) -> dict[str, VoiceMeasures]:
    """Measure recordings, or take the measures that an earlier run stored in recordings.json."""
    stored = out / "recordings.json"
    known = json.loads(stored.read_text(encoding="utf-8")) if stored.is_file() else {}
    paths = sorted(path for path in wanted if path not in known)
    if paths:
        found = _pooled(workers, _measure, paths)
        for path, measures in tqdm(zip(paths, found, strict=True), total=len(paths), desc="recordings", unit="file"):
            known[path] = asdict(measures)
        write_text(stored, json.dumps(known, indent=1))
    return {path: VoiceMeasures(**known[path]) for path in wanted}


def _measure(path: str) -> VoiceMeasures:
    return measure_voice(load(path, SAMPLE_RATE_HZ).waveform, SAMPLE_RATE_HZ)


def _pooled(
    workers: int, work: Callable, tasks: Sequence, start: Callable[..., None] | None = None, given: tuple = ()
) -> Iterator[Any]:
    """Work on tasks in order, in this process or in a pool of fresh ones."""
    if workers == 1:
        if start is not None:
            start(*given)
        yield from map(work, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(workers, start, given) as pool:
        yield from pool.imap(work, tasks, chunksize=4)


_worker: tuple[SimulateConfig, Plan, HeadRig] | None = None


def _start_worker(config: SimulateConfig, plan: Plan) -> None:
    global _worker
    _worker = config, plan, HeadRig(load_head(config.makehuman, config.makehuman_assets, _cache(config)))


def _make(source: Source) -> Made:
    """Write what is missing of one identity."""
    assert _worker is not None, "the worker was not started"
    config, plan, rig = _worker
    out, name = Path(config.out), identity_name(source.number)
    identity = make_identity(plan, source, rig)
    _save_voice(out / "voices" / f"{name}.flac", plan, source, identity)
    if config.pictures:
        _save_pictures(out, config, plan, source, identity, rig)
    canonical = canonical_landmarks(rig, identity.person, config.canonical_size_px)
    views = [wild_rng(plan, source, view) for view in range(config.views if config.pictures else 0)]
    return Made(identity, canonical, [wild_landmarks(rig, identity.person, rng, config.wild_size_px) for rng in views])


def _save_voice(path: Path, plan: Plan, source: Source, identity: Identity) -> None:
    if not path.is_file():
        waveform = load(source.recording.path, SAMPLE_RATE_HZ).waveform
        voice = make_voice(plan, source, identity.new, waveform, SAMPLE_RATE_HZ)
        buffer = io.BytesIO()
        soundfile.write(buffer, voice, SAMPLE_RATE_HZ, "PCM_16", format="FLAC")
        _save(path, buffer.getvalue())


def _save_pictures(
    out: Path, config: SimulateConfig, plan: Plan, source: Source, identity: Identity, rig: HeadRig
) -> None:
    name = identity_name(source.number)
    picture = out / "canonical" / f"{name}.png"
    if not picture.is_file():
        _save_image(picture, render_canonical(rig, identity.person, config.canonical_size_px)[0])
    for view in range(config.views):
        picture = out / "wild" / name / f"{view}.jpg"
        if not picture.is_file():
            image, _ = render_wild(rig, identity.person, wild_rng(plan, source, view), config.wild_size_px)
            _save_image(picture, image)


def _save_image(path: Path, image: np.ndarray) -> None:
    buffer = io.BytesIO()
    if path.suffix == ".png":
        Image.fromarray(image).save(buffer, "PNG")
    else:
        Image.fromarray(image).save(buffer, "JPEG", quality=90)
    _save(path, buffer.getvalue())


def _save(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)
