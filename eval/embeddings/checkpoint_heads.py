"""Heads of trained models as scorers of sampled trials: features from the folder, the head from the checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from eval.embeddings.folder import Embeddings, Samples
from eval.embeddings.sampled_matching import JointScorers, Scorer
from s2f.errors import DatasetError, UsageError


def head_scorers(embeddings: Embeddings, checkpoint: str | Path | None = None) -> JointScorers:
    """Scorers for a folder with the features of a joint scorer.

    The rows of one `track` are one candidate if some track has several: SVHF, section 5.1, averages the answers for
    aligned sights of two tracks (`s2f.matching.two_way.track_probabilities`). That is defined for a voice and two faces
    only, so such a folder can be asked in no other way.

    Args:
        embeddings: of a folder that `s2f embed` wrote, metric joint.
        checkpoint: the model; None for the one that the folder names.

    Returns:
        A scorer for each direction that the head was trained for.

    Raises:
        DatasetError: the folder does not say which weights made its features.
        UsageError: the checkpoint is another one; or tracks, and a head that cannot be asked about them.
        CheckpointError: absent or damaged.
    """
    from s2f.checkpoints import loading
    from s2f.matching.model import MatchingModel, directions

    named = checkpoint or embeddings.about.get("checkpoint")
    made_by = embeddings.about.get("weights_sha256")
    if embeddings.metric != "joint" or not named or not made_by:
        got = f"metric {embeddings.metric}, checkpoint {named}, weights_sha256 {made_by}"
        fix = "make the folder with `s2f embed`"
        raise DatasetError("features of a joint scorer, and which weights they are of", got, fix)
    folder = loading.resolve(named)
    _check_weights(folder, made_by)
    model = MatchingModel.from_pretrained(folder)
    faces = _faces(embeddings.face)
    if max(map(len, faces)) > 1:
        return JointScorers({"v2f": _track_scorer(model, embeddings, faces)}, faces)
    return JointScorers({way: _scorer(model, embeddings, way == "v2f") for way in directions(model)}, faces)


def _check_weights(folder: Path, made_by: dict[str, str]) -> None:
    from s2f.checkpoints.provenance import weights_sha256

    for part, expected in made_by.items():
        if (found := weights_sha256(folder / part)) != expected:
            fix = "give the checkpoint that the folder was made with, or embed again"
            raise UsageError(f"weights {expected} of {part}, which made the embeddings", f"{found} in {folder}", fix)


def _faces(face: Samples) -> list[Int[np.ndarray, " T"]]:
    """Rows of each track, in the order of the first; a row without a track is by itself."""
    if "track" not in face.columns:
        return list(np.arange(len(face.identity))[:, None])
    groups: dict[tuple[int, str], list[int]] = {}
    for row, track in enumerate(face.columns["track"]):
        groups.setdefault((int(face.identity[row]), track or f"row {row}"), []).append(row)
    return [np.array(rows) for rows in groups.values()]


def _scorer(model, embeddings: Embeddings, voices_ask: bool) -> Scorer:
    import torch

    def ask(probes: Int[np.ndarray, " B"], candidates: Int[np.ndarray, "B N"]) -> Float[np.ndarray, "B N"]:
        voice, face = (probes[:, None], candidates) if voices_ask else (candidates, probes[:, None])
        rows = ((embeddings.voice, voice), (embeddings.face, face))
        with torch.inference_mode():
            features = [torch.from_numpy(np.asarray(side.vectors[which], np.float32)) for side, which in rows]
            return model.head.scores(*features).numpy()

    return ask


def _track_scorer(model, embeddings: Embeddings, faces: list[Int[np.ndarray, " T"]]) -> Scorer:
    """See `head_scorers`.

    Raises:
        UsageError: a head that scores pairs, or voices as candidates.
    """
    import torch

    from s2f.matching.heads import PairHead
    from s2f.matching.two_way import track_probabilities

    if isinstance(model.head, PairHead) or model.head.config.direction != "v2f":
        got = f"{type(model.head).__name__} and tracks of several rows"
        fix = "embed with a model of single dynamic images, or with an SVHF head for v2f"
        raise UsageError("an SVHF head trained for v2f, or one row a track in face.csv", got, fix)

    def features(side: Samples, rows: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.asarray(side.vectors[rows], np.float32))

    def ask(probes: Int[np.ndarray, " B"], candidates: Int[np.ndarray, "B N"]) -> Float[np.ndarray, "B N"]:
        if candidates.shape[1] != 2:
            fix = "ask for two, or embed with a model of single dynamic images"
            raise UsageError("two tracks to be compared", f"{candidates.shape[1]}", fix)
        answers = []
        for probe, (first, second) in zip(probes, candidates, strict=True):
            tracks = features(embeddings.face, faces[first]), features(embeddings.face, faces[second])
            answers.append(track_probabilities(model.head, features(embeddings.voice, probe), tracks))
        return torch.stack(answers).numpy()

    return ask
