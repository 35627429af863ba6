"""What `s2f prepare` does before anything is decoded: look at the copy, join faces, share people among splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s2f.errors import UsageError, check_names
from s2f.prepare.adaptors import ADAPTORS
from s2f.prepare.config import PrepareConfig
from s2f.prepare.join import join
from s2f.prepare.sources.found import Sources, Tables, require_root
from s2f.prepare.splits import assign


def collect(config: PrepareConfig) -> tuple[Sources, dict[str, Any]]:
    """Find everything to prepare.

    Args:
        config: which dataset, where, and how its people are split.

    Returns:
        What there is, every person with a split; and facts for dataset.json: titles, licences, the split, and what
        the published dataset has and this copy lacks.

    Raises:
        UsageError: an unknown dataset, a folder that does not exist, or a split that these people cannot have.
        DatasetError: nothing of that dataset is there, or a published table is damaged.
    """
    names = [name for name in (config.dataset, config.faces) if name]
    check_names(names, ADAPTORS, "dataset")
    if config.faces_root and not config.faces:
        raise UsageError("--faces NAME beside --faces_root", "none", "`s2f prepare --list` names the datasets")
    root = require_root(Path(config.root))
    faces_root = require_root(Path(config.faces_root)) if config.faces_root else root
    folders = tuple(dict.fromkeys((root, faces_root, root.absolute().parent, faces_root.absolute().parent)))
    tables = Tables(tuple(map(Path, config.metadata)), folders)
    sources = ADAPTORS[config.dataset].scan(root, tables)
    if config.faces:
        sources = join(sources, ADAPTORS[config.faces].scan(faces_root, tables), tables)
    split = assign(
        sources.people, config.split, Path(config.split_list) if config.split_list else None, config.split_seed
    )
    for identity, row in sources.people.items():
        row["split"] = split.splits.get(identity, "")
    facts = {
        "datasets": [
            {"name": name, "title": ADAPTORS[name].title, "licence": ADAPTORS[name].licence} for name in names
        ],
        "split": split.facts(),
        "missing": sources.missing,
    }
    return sources, facts
