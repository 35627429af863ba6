"""How long does exact matching take, beside the sampler that other repositories use?

    python benchmarks/exact_matching.py [--mapped GIGABYTES FOLDER]

prints, for random vectors at the size of Wen et al.'s test set (21,850 voices, 20,076 faces, 189 people, 128
dimensions), seconds and peak memory of the exact 1:2 accuracy and of 1:2 to 1:10 in both directions and under both
weightings, the triplets per second beside a sampler of 10,000 triplets (what peers do, here vectorised), how far ten
such samplers differ, and how the cost of a query row grows from 1,000 to 100,000 faces. With --mapped, an embeddings
folder whose face.npy has that size is written to FOLDER and evaluated from disk.
"""

from __future__ import annotations

import argparse
import csv
import re
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import numpy as np

from eval.embeddings.folder import read_embeddings
from eval.embeddings.groups import clusters, groupings
from eval.embeddings.retrieval import retrieve
from eval.embeddings.verification import evaluate as verification
from eval.metrics.n_way import n_way
from eval.metrics.scores import CrossScores, VectorScores
from eval.metrics.two_way import WEIGHTINGS, accuracy, win_table

VOICES, FACES, PEOPLE, SIZE = 21_850, 20_076, 189, 128
SAMPLED = 10_000
WIDE = 512  # dimensions of the large file


def people_of(rows: int, people: int, random: np.random.Generator) -> np.ndarray:
    """Person of each row; everybody has one at least."""
    return random.permutation(np.concatenate([np.arange(people), random.integers(0, people, rows - people)]))


def sampled(vectors: dict[str, np.ndarray], identity: dict[str, np.ndarray], random: np.random.Generator) -> float:
    """Accuracy of 10,000 random triplets, voice to face."""
    rows = {name: np.argsort(people, kind="stable") for name, people in identity.items()}
    counts = np.bincount(identity["face"], minlength=PEOPLE)
    starts = np.cumsum(counts) - counts
    probe = random.integers(0, len(identity["voice"]), SAMPLED)
    person = identity["voice"][probe]
    rival = (person + random.integers(1, PEOPLE, SAMPLED)) % PEOPLE
    pick = [rows["face"][starts[who] + (random.random(SAMPLED) * counts[who]).astype(int)] for who in (person, rival)]
    voice = vectors["voice"][probe]
    scores = [np.einsum("nd,nd->n", voice, vectors["face"][face]) for face in pick]
    return float((scores[0] > scores[1]).mean())


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Seconds and result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def gigabytes() -> float:
    """Peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def wen_size(random: np.random.Generator) -> None:
    """The table of the Wen-size problem."""
    identity = {"voice": people_of(VOICES, PEOPLE, random), "face": people_of(FACES, PEOPLE, random)}
    vectors = {name: random.normal(size=(len(who), SIZE)).astype(np.float32) for name, who in identity.items()}
    for side in vectors.values():
        side /= np.linalg.norm(side, axis=1, keepdims=True)
    print(f"{VOICES} voices, {FACES} faces, {PEOPLE} people, {SIZE} dimensions, random")
    print("| direction | what | seconds | accuracy, samples | accuracy, identities |\n|---|---|---|---|---|")
    total, triplets = 0.0, {}
    for name, probe, candidate in (("v2f", "voice", "face"), ("f2v", "face", "voice")):
        scores = VectorScores(vectors[probe], vectors[candidate], "cosine")
        cross = CrossScores(scores, identity[probe], identity[candidate], PEOPLE)
        seconds, table = timed(lambda cross=cross: win_table(cross))
        values = [accuracy(table, weighting, "identities")[0] for weighting in WEIGHTINGS]
        print(f"| {name} | 1:2, every triplet | {seconds:.1f} | {values[0]:.6f} | {values[1]:.6f} |")
        triplets[name] = (table.probes * table.candidates * (table.candidates.sum() - table.candidates)).sum() / seconds
        total += seconds
        for negatives in WEIGHTINGS:
            seconds, found = timed(lambda cross=cross, n=negatives: n_way(cross, 10, n, np.arange(PEOPLE)))
            values = [found.accuracy(weighting)[-1] for weighting in WEIGHTINGS]
            what = f"1:2 to 1:10, intervals, negatives by {negatives}"
            print(f"| {name} | {what} | {seconds:.1f} | {values[0]:.6f} | {values[1]:.6f} |")
            total += seconds if negatives == "identities" else 0.0
    print(f"1:2, and 1:2 to 1:10 by identities, together: {total:.1f} s; {gigabytes():.2f} GB at most")
    seconds, _ = timed(lambda: sampled(vectors, identity, random))
    print(f"exact 1:2: {triplets['v2f']:.3g} triplets/s; sampler: {SAMPLED / seconds:.3g} triplets/s")
    spread = [sampled(vectors, identity, random) for _ in range(10)]
    print(f"ten samplers of {SAMPLED}: {min(spread):.4f} to {max(spread):.4f}")


def growth(random: np.random.Generator) -> None:
    """Seconds a query row against the number of faces, 100 faces a person."""
    sizes, seconds = np.array([1_000, 10_000, 100_000]), {"1:2": [], "1:2 to 1:10": []}
    for faces in sizes:
        people = faces // 100
        probes = np.concatenate([np.arange(people), random.integers(0, people, 2_000 - people)])
        candidates = np.repeat(np.arange(people), 100)
        sides = (random.normal(size=(len(who), SIZE)).astype(np.float32) for who in (probes, candidates))
        cross = CrossScores(VectorScores(*sides, "cosine"), probes, candidates, people)
        seconds["1:2"].append(timed(lambda c=cross: win_table(c))[0] / len(probes))
        done = timed(lambda c=cross, p=people: n_way(c, 10, "identities", np.arange(p)))[0]
        seconds["1:2 to 1:10"].append(done / len(probes))
    for what, values in seconds.items():
        slope = np.polyfit(np.log(sizes), np.log(values), 1)[0]
        cells = ", ".join(f"{1e3 * value:.2f}" for value in values)
        print(f"{what}: {cells} ms a query row with 1,000, 10,000, 100,000 faces; slope {slope:.2f}")


def write_mapped(size: float, folder: Path) -> int:
    """Write an embeddings folder of 400 voices and `size` GB of faces, of 200 people; returns the number of faces."""
    faces, random = int(size * 1e9 / 4 / WIDE), np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("voice", 400), ("face", faces)):
        file = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, (rows, WIDE))
        for first in range(0, rows, 100_000):
            block = file[first : first + 100_000]
            block[:] = random.standard_normal(block.shape, np.float32)
        file.flush()
        with (folder / f"{name}.csv").open("w", newline="") as table:
            csv.writer(table).writerows([["identity"], *([str(row % 200)] for row in range(rows))])
    return faces


@contextmanager
def own_memory() -> Iterator[list[float]]:
    """Watch the memory of this process without pages of files (Linux); the list ends with its peak in GB."""
    peak, done = [0.0], Event()

    def watch() -> None:
        while not done.wait(0.05):
            status = Path("/proc/self/status").read_text()
            peak[0] = max(peak[0], int(re.search(r"RssAnon:\s+(\d+)", status)[1]) / 1e6)

    thread = Thread(target=watch)
    thread.start()
    yield peak
    done.set()
    thread.join()


def mapped(size: float, folder: Path) -> None:
    """Evaluate a folder whose faces do not have to fit in memory."""
    faces = write_mapped(size, folder)
    with own_memory() as peak:
        seconds, found = timed(lambda: read_embeddings(folder))
    print(f"{size:g} GB of faces ({faces} x {WIDE}), 400 voices: read and checked in {seconds:.0f} s, {peak[0]:.2f} GB")
    units = clusters(found)
    for name, work in {
        "1:2": lambda: accuracy(win_table(found.cross("v2f")), "samples", "identities")[0],
        "AUC": lambda: verification(found, groupings(found, ["U"]), units, control=False).rows[0].value,
        "mAP, voice to face": lambda: retrieve(found.cross("v2f"), (1,)).values[:, 0].mean(),
    }.items():
        with own_memory() as peak:
            seconds, value = timed(work)
        print(f"{name}: {value:.5f} in {seconds:.0f} s, {peak[0]:.2f} GB", flush=True)


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mapped", nargs=2, metavar=("GIGABYTES", "FOLDER"), help="also evaluate a file of that size")
    options = parser.parse_args()
    small = CrossScores(VectorScores(np.eye(4), np.eye(4), "cosine"), np.arange(4), np.arange(4), 4)
    win_table(small)
    for negatives in WEIGHTINGS:
        n_way(small, 3, negatives, np.arange(4))  # compiled before the clock starts
    wen_size(np.random.default_rng(0))
    growth(np.random.default_rng(0))
    if options.mapped:
        mapped(float(options.mapped[0]), Path(options.mapped[1]))


if __name__ == "__main__":
    main()
