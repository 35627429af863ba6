"""Do planted correlations of face measures come back from pictures, by each landmark detector?

    python benchmarks/craniofacial_pairs.py OUT MAKEHUMAN MAKEHUMAN_ASSETS [--pairs 1000] [--shared 0.4 | --published]
        [--landmarks starter dlib-hog dlib]

Renders pairs of canonical faces. Both people of a pair have their own gender, age, ethnic mix, skin and hair; of the
rest of their ten basic measures they share `--shared` (of the variance of each independent part), so that all twelve
measures are correlated, each by another amount that follows from the law (`PairLaw.planted`). `--published` shares of
each part what brings its measure near Speech2Face's published correlation instead. `OUT/a` and `OUT/b` are evaluated
like any two folders (`s2f-eval craniofacial OUT/a OUT/b`). The points of the projected meshes tell what a perfect
detector would have found, and how reliable each detector is: the reliability of a side is the squared correlation of
detected and true measures over the same pictures. If a detector's errors are independent of everything else,

    recovered r  =  r of the meshes * sqrt(reliability of a * reliability of b)    (attenuation, Spearman 1904)

Shuffled pairs and one mean face for everybody are the controls. An interrupted call goes on where it stopped.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import time
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image
from tqdm import tqdm

from eval.craniofacial.evaluate import control_rows, craniofacial_rows
from eval.craniofacial.pairs import point_pairs
from eval.faces.pictures import pair_folders
from s2f.faces.craniofacial import MEASURES, PUBLISHED_CORRELATIONS, craniofacial_measures
from s2f.runtime.files import write_bytes, write_text
from s2f.simulate.head.makehuman import load_head
from s2f.simulate.head.mesh import HeadRig
from s2f.simulate.head.person import Person
from s2f.simulate.head.sampling import sample_person
from s2f.simulate.identity.face import with_measures
from s2f.simulate.population.face_statistics import (
    AGE_RANGE_YEARS,
    BASIS,
    MIX_CONCENTRATION,
    NaturalLaw,
    fit_natural_law,
    hat_weights,
)
from s2f.simulate.population.solve import measure_matrix
from s2f.simulate.render.views import canonical_landmarks, render_canonical

CLOSE = 0.07
MOST = 0.9  # of an independent part of the measures that a pair has in common


class PairLaw:
    """The joint law of two faces, from the face sampler's own variation.

    Args:
        law: log measures by gender, age and mix, and their covariance within.
        shared: share of every independent part of the measures that a pair has in common; None for shares that come
            near the published correlations.
    """

    def __init__(self, law: NaturalLaw, shared: float | None) -> None:
        self.law, self.root = law, np.linalg.cholesky(law.covariance)
        ages = np.exp(np.linspace(*np.log(AGE_RANGE_YEARS), 4001))
        means = np.concatenate([hat_weights(ages) @ law.mean[gender] for gender in (0, 1)])
        between = (np.eye(3) - 1 / 3) / 3 / (3 * MIX_CONCENTRATION + 1)
        self.total = np.cov(means.T, bias=True) + law.mix_effect.T @ between @ law.mix_effect + law.covariance
        self.shares = np.full(len(BASIS), shared) if shared is not None else self._published()

    def _published(self) -> Float[np.ndarray, " 10"]:
        """Shares that give the published correlations one after the other, within 0 and `MOST`."""
        shares = np.zeros(len(BASIS))
        for j, name in enumerate(BASIS):
            missing = PUBLISHED_CORRELATIONS[name] * self.total[j, j] - self.root[j] ** 2 @ shares
            shares[j] = np.clip(missing / self.root[j, j] ** 2, 0, MOST)
        return shares

    def planted(self) -> dict[str, float]:
        """Correlation of each log measure over an endless number of pairs."""
        shared = self.root @ np.diag(self.shares) @ self.root.T
        a = measure_matrix()
        values = np.einsum("ki,ij,kj->k", a, shared, a) / np.einsum("ki,ij,kj->k", a, self.total, a)
        return dict(zip(MEASURES, values.tolist(), strict=True))

    def draw(self, seed: int, number: int) -> list[tuple[Person, Float[np.ndarray, " 10"]]]:
        """Two people, not yet shaped, and the log measures that each shall have."""
        rng = np.random.default_rng([seed, number])
        common, *own = rng.standard_normal((3, len(BASIS)))
        sides = []
        for part in own:
            gender, mix = "fm"[rng.integers(2)], rng.dirichlet((MIX_CONCENTRATION,) * 3)
            age = float(np.exp(rng.uniform(*np.log(AGE_RANGE_YEARS))))
            mean = hat_weights(age)[0] @ self.law.mean[int(gender == "m")] + mix @ self.law.mix_effect
            wanted = mean + self.root @ (np.sqrt(self.shares) * common + np.sqrt(1 - self.shares) * part)
            person = sample_person(rng, gender, age, (mix[0], mix[1], mix[2]), hair_meshes=True)
            sides.append((person, wanted))
        return sides


_worker: tuple[Path, int, HeadRig, PairLaw] | None = None


def start(options: argparse.Namespace) -> None:
    """Prepare a process that renders."""
    global _worker
    rig = HeadRig(load_head(options.makehuman, options.assets, Path.home() / ".cache" / "s2f"))
    law = PairLaw(fit_natural_law(rig), None if options.published else options.shared)
    _worker = Path(options.out), options.seed, rig, law


def make(number: int) -> Float[np.ndarray, "2 68 2"]:
    """Render a pair where it is missing; the true landmarks of both."""
    assert _worker is not None
    out, seed, rig, law = _worker
    points = []
    for side, (person, wanted) in zip("ab", law.draw(seed, number), strict=True):
        shaped, path = with_measures(rig, person, wanted), out / side / f"{number:05d}.png"
        if not path.is_file():
            buffer = io.BytesIO()
            Image.fromarray(render_canonical(rig, shaped, 224)[0]).save(buffer, "PNG")
            write_bytes(path, buffer.getvalue())
        points.append(canonical_landmarks(rig, shaped, 224))
    return np.stack(points)


def render_pairs(options: argparse.Namespace) -> Float[np.ndarray, "N 2 68 2"]:
    """Render all pairs; their true landmarks."""
    out, settings = Path(options.out), {name: getattr(options, name) for name in ("seed", "shared", "published")}
    for side in "ab":
        (out / side).mkdir(parents=True, exist_ok=True)
    kept = out / "settings.json"
    if kept.is_file() and json.loads(kept.read_text()) != settings:
        raise SystemExit(f"expected pairs of {settings}, got {kept.read_text()} in {out}; give another OUT")
    write_text(kept, json.dumps(settings))
    with multiprocessing.get_context("spawn").Pool(2, start, (options,)) as pool:
        return np.stack(list(tqdm(pool.imap(make, range(options.pairs), 4), total=options.pairs, desc="pairs")))


def read(out: Path, landmarks: str, truth: Float[np.ndarray, "N 2 68 2"], planted: dict[str, float]) -> None:
    """Evaluate the folders with one detector and print what it recovers."""
    started = time.perf_counter()
    found = point_pairs({"main": pair_folders(out / "a", out / "b")}, landmarks, out / landmarks)["main"]
    seconds = time.perf_counter() - started
    used = [int(pair.name) for pair in found.used]
    rows = craniofacial_rows(found.points("a"), found.points("b"), found.speakers)
    recovered = {row.params["measure"]: row for row in rows[: len(MEASURES)]}
    mesh = [craniofacial_measures(truth[used, side]) for side in (0, 1)]
    seen = [craniofacial_measures(found.points(side)) for side in "ab"]
    print(f"\n{landmarks}: landmarks in {seconds:.0f} s; {'; '.join(found.notes())}\n")
    print(
        "| measure | planted | meshes | recovered r | 95 % interval | q | reliability a, b | r x sqrt(reliabilities) |"
    )
    print("|---|---|---|---|---|---|---|---|")
    near = [0, 0, 0]
    for name, row in recovered.items():
        true = float(np.corrcoef(mesh[0][name], mesh[1][name])[0, 1])
        a, b = (float(np.corrcoef(m[name], s[name])[0, 1]) for m, s in zip(mesh, seen, strict=True))
        wanted, value = (planted[name], true, true * a * b), float(row.value)
        near = [count + (abs(value - one) <= CLOSE) for count, one in zip(near, wanted, strict=True)]
        cells = f"{row.ci_low:.3f} to {row.ci_high:.3f} | {row.params['q']:.2g} | {a * a:.2f}, {b * b:.2f}"
        print(f"| {name} | {planted[name]:.3f} | {true:.3f} | {value:.3f} | {cells} | {true * a * b:.3f} |")
    said = zip(near, ("what was planted", "the meshes' r", "the meshes' r x sqrt(reliabilities)"), strict=True)
    print(f"\nwithin {CLOSE} of " + ", of ".join(f"{name}: {count} of 12" for count, name in said))
    shuffled = [row for row in rows if row.params.get("control") == "shuffled"]
    largest, least = max(abs(float(row.value)) for row in shuffled), min(row.params["q"] for row in shuffled)
    print(f"shuffled pairs: largest |r| {largest:.3f}, least q {least:.2f}")
    constant = np.repeat(found.points("b").mean(0, keepdims=True), len(used), 0)
    words = {row.ci_method for row in control_rows(found.points("a"), constant, found.speakers, "mean")}
    print(f"one mean face for everybody: {', '.join(words)}")


def main() -> None:
    """Render, evaluate, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("makehuman")
    parser.add_argument("assets")
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shared", type=float, default=0.4)
    parser.add_argument("--published", action="store_true")
    parser.add_argument("--landmarks", nargs="+", default=["starter", "dlib-hog", "dlib"])
    options = parser.parse_args()
    truth = render_pairs(options)
    start(options)
    assert _worker is not None
    for landmarks in options.landmarks:
        read(Path(options.out), landmarks, truth, _worker[3].planted())


if __name__ == "__main__":
    main()
