"""Trees of datasets, written when a test first asks for them."""

import shutil
from pathlib import Path

import pytest

from tests.s2f.prepare.trees import TREES


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """Function (name) that returns a tree's root; the tree is written once and must not be changed."""
    made: dict[str, Path] = {}

    def tree(name: str) -> Path:
        if name not in made:
            made[name] = TREES[name](tmp_path_factory.mktemp(name))
        return made[name]

    return tree


@pytest.fixture
def copy(trees, tmp_path):
    """Function (name) that returns a copy of a tree which may be changed."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(trees(name), tmp_path / "copy"))

    return copy
