"""Make a dataset of synthetic faces dealt to real voices."""

import csv
import hashlib
import io
import json
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from s2f import __version__
from s2f.datasets import SPLITS, split_hash
from s2f.errors import OutputError, UsageError
from s2f.files import write_bytes, write_text
from s2f.simulate.faces import Person
from s2f.simulate.makehuman import load_head
from s2f.simulate.mesh import HeadRig
from s2f.simulate.sampling import sample_person
from s2f.simulate.views import canonical_landmarks, render_canonical, render_wild
from s2f.simulate.voices import Recording, read_voices

VALIDATION_SHARE = 0.1
STATEMENT = (
    "All faces are synthetic: computer-drawn from MakeHuman's CC0 head; nobody's face is shown. The ethnicity column "
    "names the largest of MakeHuman's three coarse poles and is not a human category. Only gender is taken from the "
    "voice; age, ethnic mix and looks are drawn independently of it."
)
_FACE_STREAM, _WILD_STREAM, _DEAL_STREAM = 1, 2, 3


@dataclass(frozen=True)
class SimulateConfig:
    """What to simulate.

    Attributes:
        out: dataset folder to write.
        voices: folder of voices, see `s2f.simulate.voices.read_voices`.
        makehuman: a MakeHuman checkout.
        makehuman_assets: a makehuman-assets checkout for hair meshes, or None for painted hair.
        identities: number of persons.
        views: wild pictures per person.
        seed: seed of everything random.
        canonical_size_px: side of the canonical pictures, and the scale of landmarks.csv.
        wild_size_px: side of the wild pictures.
        workers: processes that draw.
        cache: folder for condensed MakeHuman arrays; None for ~/.cache/s2f.
    """

    out: str
    voices: str
    makehuman: str
    makehuman_assets: str | None = None
    identities: int = 251
    views: int = 4
    seed: int = 0
    canonical_size_px: int = 224
    wild_size_px: int = 112
    workers: int = 2
    cache: str | None = None


def simulate(config: SimulateConfig) -> Path:
    """Write the dataset folder; drawn pictures of an interrupted run are kept.

    Args:
        config: what to simulate.

    Returns:
        The dataset folder.

    Raises:
        UsageError: a setting out of range.
        OutputError: a folder with other content, made with other settings, or that cannot be written.
        AssetMissing: MakeHuman is not where it should be.
        S2fError: voices that cannot be used, see `s2f.simulate.voices.read_voices`.
    """
    _check_numbers(config)
    recordings = read_voices(config.voices)
    load_head(config.makehuman, config.makehuman_assets, _cache(config))
    out = Path(config.out)
    _claim_folder(out, config, recordings)
    people = deal_identities(recordings, config.identities, config.seed)
    tasks = [(config, k, gender) for k, (_, gender, _) in enumerate(people)]
    drawn = list(tqdm(_draw_all(config, tasks), total=len(tasks), desc="faces", unit="person"))
    _write_tables(out, config, recordings, people, drawn)
    return out


def _check_numbers(config: SimulateConfig) -> None:
    lowest = {"identities": 1, "views": 0, "seed": 0, "workers": 1}
    lowest |= {"canonical_size_px": 32, "wild_size_px": 32}
    for name, least in lowest.items():
        if getattr(config, name) < least:
            raise UsageError(f"{name} of at least {least}", f"{getattr(config, name)}", "raise it")


def _cache(config: SimulateConfig) -> Path:
    return Path(config.cache) if config.cache else Path.home() / ".cache" / "s2f"


def _claim_folder(out: Path, config: SimulateConfig, recordings: list[Recording]) -> None:
    """Store what decides the pictures and splits, or compare it with what an earlier run stored."""
    deciding = ("identities", "views", "seed", "canonical_size_px", "wild_size_px")
    settings = {name: value for name, value in asdict(config).items() if name in deciding}
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


def deal_identities(recordings: list[Recording], identities: int, seed: int) -> list[tuple[str, str, str]]:
    """Deal identities to speakers as equally as possible, in a seeded order.

    Args:
        recordings: all recordings.
        identities: how many identities.
        seed: seed of the order and of the split.

    Returns:
        Speaker, gender and split of each identity.
    """
    gender = {r.speaker: r.gender for r in recordings}
    split = split_speakers(recordings, seed)
    order = np.random.default_rng([seed, _DEAL_STREAM, 1]).permutation(sorted(gender))
    dealt = [str(order[k % len(order)]) for k in range(identities)]
    return [(speaker, gender[speaker], split[speaker]) for speaker in dealt]


def identity_name(number: int) -> str:
    """Name of an identity by its number.

    Args:
        number: from 0.

    Returns:
        A name such as "id00001".
    """
    return f"id{number:05d}"


def person_of(seed: int, number: int, gender: str, hair_meshes: bool) -> Person:
    """The person that an identity is; depends on nothing but the arguments.

    Args:
        seed: the dataset's seed.
        number: the identity's number, from 0.
        gender: "f" or "m".
        hair_meshes: whether MakeHuman's hair styles are at hand.

    Returns:
        The person.
    """
    return sample_person(np.random.default_rng([seed, _FACE_STREAM, number, gender == "m"]), gender, hair_meshes)


_rig: HeadRig | None = None


def _start_worker(config: SimulateConfig) -> None:
    global _rig
    _rig = HeadRig(load_head(config.makehuman, config.makehuman_assets, _cache(config)))


def _draw_all(config: SimulateConfig, tasks: list[tuple]) -> Iterator[tuple[dict, np.ndarray]]:
    """Draw every identity in order, in this process or in a pool of fresh ones."""
    if config.workers == 1:
        _start_worker(config)
        yield from map(_draw_identity, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(config.workers, _start_worker, (config,)) as pool:
        yield from pool.imap(_draw_identity, tasks, chunksize=4)


def _draw_identity(task: tuple[SimulateConfig, int, str]) -> tuple[dict, np.ndarray]:
    """Draw what is missing of one identity; return its truth and landmarks."""
    config, number, gender = task
    assert _rig is not None, "the worker was not started"
    out, name = Path(config.out), identity_name(number)
    person = person_of(config.seed, number, gender, bool(_rig.model.hair))
    picture = out / "canonical" / f"{name}.png"
    landmarks = canonical_landmarks(_rig, person, config.canonical_size_px)
    if not picture.is_file():
        _save_image(picture, render_canonical(_rig, person, config.canonical_size_px)[0])
    for view in range(config.views):
        picture = out / "wild" / name / f"{view}.jpg"
        if not picture.is_file():
            rng = np.random.default_rng([config.seed, _WILD_STREAM, number, gender == "m", view])
            _save_image(picture, render_wild(_rig, person, rng, config.wild_size_px))
    return person.truth(), landmarks


def _save_image(path: Path, image: np.ndarray) -> None:
    buffer = io.BytesIO()
    if path.suffix == ".png":
        Image.fromarray(image).save(buffer, "PNG")
    else:
        Image.fromarray(image).save(buffer, "JPEG", quality=90)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, buffer.getvalue())


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _write_tables(
    out: Path,
    config: SimulateConfig,
    recordings: list[Recording],
    people: list[tuple[str, str, str]],
    drawn: list[tuple[dict, np.ndarray]],
) -> None:
    """Write the tables, and dataset.json last of all."""
    names = [identity_name(k) for k in range(len(people))]
    truths = [truth for truth, _ in drawn]
    rows = [
        (name, gender, f"{truth['age_years']:.2f}", truth["ethnicity"], split, speaker)
        for name, (speaker, gender, split), truth in zip(names, people, truths, strict=True)
    ]
    _write_csv(out / "people.csv", ("identity", "gender", "age", "ethnicity", "split", "speaker"), rows)
    spoken: dict[str, list[Recording]] = {}
    for r in recordings:
        spoken.setdefault(r.speaker, []).append(r)
    voices = [
        (name, r.path, 0, f"{r.duration_s:.3f}", Path(r.path).stem)
        for name, (speaker, _, _) in zip(names, people, strict=True)
        for r in spoken[speaker]
    ]
    _write_csv(out / "voices.csv", ("identity", "path", "start_s", "duration_s", "video"), voices)
    canonical = [(name, f"canonical/{name}.png", "canonical") for name in names]
    wild = [(name, f"wild/{name}/{k}.jpg", "wild") for name in names for k in range(config.views)]
    _write_csv(out / "faces.csv", ("identity", "path", "view"), canonical + wild)
    header = ["path", *(f"{axis}{i}" for i in range(68) for axis in "xy")]
    points = [(path, *(f"{x:.2f}" for x in d[1].ravel())) for (_, path, _), d in zip(canonical, drawn, strict=True)]
    _write_csv(out / "landmarks.csv", header, points)
    columns = list(truths[0])
    truth_rows = [(name, *(truth[c] for c in columns)) for name, truth in zip(names, truths, strict=True)]
    _write_csv(out / "truth.csv", ["identity", *columns], truth_rows)
    splits = [split for _, _, split in people]
    summary = {
        "s2f": __version__,
        "seed": config.seed,
        "identities": len(people),
        "views": config.views,
        "splits": {split: splits.count(split) for split in SPLITS},
        "split_hash": split_hash({"identity": n, "split": s} for n, s in zip(names, splits, strict=True)),
        "statement": STATEMENT,
    }
    write_text(out / "dataset.json", json.dumps(summary, indent=2))
