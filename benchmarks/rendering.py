"""Pictures per second and core of the face simulator: canonical at 224 px, wild at 112 px, and landmarks alone.

    python benchmarks/rendering.py MAKEHUMAN [MAKEHUMAN_ASSETS]

Random persons, half of them women, 5 to 85 years; CPU time of one process, so that other work on the
machine hardly counts; the first pictures (loading and compiling) are left out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from s2f.simulate.head.makehuman import load_head
from s2f.simulate.head.mesh import HeadRig
from s2f.simulate.head.person import Person
from s2f.simulate.head.sampling import sample_person
from s2f.simulate.render.views import canonical_landmarks, render_canonical, render_wild

WARM_UP = 3


def rate_hz(draw: Callable[[Person, int], object], people: list[Person]) -> float:
    """Calls per CPU second of `draw` over `people`, after a few that are not counted."""
    for number in range(WARM_UP):
        draw(people[number], number)
    started = time.process_time()
    for number, person in enumerate(people):
        draw(person, number)
    return len(people) / (time.process_time() - started)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("makehuman")
    parser.add_argument("makehuman_assets", nargs="?")
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--cache", default=str(Path.home() / ".cache" / "s2f"))
    options = parser.parse_args()
    rig = HeadRig(load_head(options.makehuman, options.makehuman_assets, options.cache))
    people = []
    for number in range(max(options.people, WARM_UP)):
        rng = np.random.default_rng([0, number])
        mix = rng.dirichlet((0.35,) * 3)
        age = float(rng.uniform(5, 85))
        people.append(sample_person(rng, "fm"[number % 2], age, (mix[0], mix[1], mix[2]), bool(rig.model.hair)))
    rates = {
        "canonical 224 px": rate_hz(lambda person, _: render_canonical(rig, person, 224), people),
        "wild 112 px": rate_hz(lambda person, k: render_wild(rig, person, np.random.default_rng(k), 112), people),
        "landmarks alone": rate_hz(lambda person, _: canonical_landmarks(rig, person), people),
    }
    print(f"{len(people)} people, {len(rig.model.hair)} hair meshes")
    for name, rate in rates.items():
        print(f"{name:18s} {rate:7.1f} per CPU second, {1000 / rate:6.1f} ms")


if __name__ == "__main__":
    main()
