"""Does the decoder draw the face of the feature it is given? F2F pictures against the true ones, and S2F features.

Speech2Face (CVPR 2019, section 5) takes F2F, the face decoded from the feature of the true picture, as the best that
its decoder can do, and compares S2F with it. What the decoder itself loses is measured here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from eval.embeddings.retrieval import figure_rows, retrieve
from eval.faces.landmarks import Found, find_landmarks
from eval.metrics.clusters import Clusters, mean_row, people_clusters
from eval.metrics.permutations import speaker_derangement
from eval.metrics.scores import CrossScores, VectorScores, unit
from eval.reconstructions.features import FeaturePairs, read_pairs
from eval.reconstructions.folder import CONTROLS, Reconstructions, seconds_name
from eval.results import Report, Row
from s2f.errors import ImageError
from s2f.faces.craniofacial import inter_ocular
from s2f.faces.images import load_image
from s2f.faces.lpips import load_lpips, lpips_distance
from s2f.runtime.files import write_csv, writing

PROTOCOL = "decoder/1"
CHUNK = 16  # pairs of pictures between two steps of the progress bar
NO_LPIPS = "no LPIPS: it needs a trained backbone, --lpips BACKBONE.safetensors"
Controlled = tuple[dict[str, Any], Sequence[Path]]


def evaluate(
    folder: Reconstructions, lpips: Path | None, landmarks: str = "starter", out: Path | None = None
) -> Report:
    """Compare F2F pictures with the true ones, and features of drawn pictures with those they were drawn from.

    Controls against the true pictures and features: F2F of another speaker ("shuffled"), the mean face, and the nearest
    training face. The feature of the control "mean" is the mean direction itself, not that of its picture.

    Args:
        folder: a reconstructions folder.
        lpips: safetensors file of a trained backbone, see `s2f.faces.lpips.load_lpips`; None leaves LPIPS out.
        landmarks: how landmarks are found, see `eval.faces.landmarks.find_landmarks`.
        out: keeps the landmarks found, so that an interrupted call goes on, and `left_out.csv`: identity, picture and
            reason of pictures without landmarks. None keeps nothing.

    Returns:
        Direction f2f: `feature_cosine`; `identity_rank1`, the share of people whose F2F picture's feature is nearer, by
        cosine, to their own true feature than to all others'; `image_l1`, mean absolute difference of pixels in [0, 1];
        `lpips`; `landmark_error` and `landmark_rmse_px`, see `landmark_errors`. Direction v2f: `feature_cosine` of the
        S2F picture's feature with the predicted feature it was drawn from.

    Raises:
        AssetMissing: see `find_landmarks`.
        CheckpointError: see `load_lpips`.
        DatasetError: features that are missing or do not fit the people.
        ImageError: pictures that are unreadable or of different sizes.
        OutputError: `out` cannot be written, see `find_landmarks`.
    """
    who = people_clusters(folder.people)
    order = speaker_derangement(who.numbers)
    rows = [*_feature_rows(folder, who, order), *_voice_rows(folder, who, order)]
    true, drawn = _paths(folder, order)
    rows += _pixel_rows(true, drawn, who, lpips)
    found = find_landmarks([*true, *(path for _, paths in drawn for path in paths)], landmarks, out)
    rows += _landmark_rows(true, drawn, who, found, landmarks)
    notes = [*([] if lpips else [NO_LPIPS]), *_view_notes(folder), *_landmark_notes(folder, found, out)]
    return Report(PROTOCOL, folder.about["split_hash"], rows, notes)


def landmark_errors(
    drawn: Float[np.ndarray, "N 68 2"], true: Float[np.ndarray, "N 68 2"]
) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """How far the points of drawn faces are from those of the true ones; NaN where either has NaN.

    What found the points errs too, on both pictures; its errors are part of these figures.

    Args:
        drawn: (N, 68, 2) points in pixels.
        true: (N, 68, 2) points of the same people.

    Returns:
        (N,) mean distance over the true face's inter-ocular distance, between the means of the six points of each eye
        (points 36 to 41 and 42 to 47), as 300-W's "inter-pupil" norm has it; and (N,) root mean square distance in
        pixels.
    """
    apart = np.linalg.norm(drawn - true, axis=2)
    return apart.mean(1) / inter_ocular(true), np.sqrt((apart**2).mean(1))


def cosines(pairs: FeaturePairs) -> Float[np.ndarray, " J"]:
    """Cosine in [-1, 1] of the two features of everybody."""
    return np.clip((unit(pairs.predicted) * unit(pairs.true)).sum(1), -1, 1)


def _feature_rows(folder: Reconstructions, who: Clusters, order: np.ndarray) -> Iterator[Row]:
    """Features of F2F pictures and of the controls against the true ones."""
    own = read_pairs(folder, "f2f")
    compared = {"": own, "shuffled": own._replace(predicted=own.predicted[order])}
    compared |= {name: read_pairs(folder, name) for name in CONTROLS[::-1]}
    people = np.arange(len(own.true))
    for control, pairs in compared.items():
        params = {"against": "true feature"} | ({"control": control} if control else {})
        yield mean_row("feature_cosine", "f2f", cosines(pairs), who, params)
        cross = CrossScores(VectorScores(pairs.predicted, pairs.true, "cosine"), people, people, len(people))
        figures = figure_rows(cross, retrieve(cross, (1,)), "f2f", who, "identities", params)
        yield from (replace(row, metric="identity_rank1", params=params) for row in figures if row.metric == "recall")


def _voice_rows(folder: Reconstructions, who: Clusters, order: np.ndarray) -> Iterator[Row]:
    """Features of S2F pictures against the predicted features that they were drawn from."""
    seconds = folder.seconds[-1]
    asked = read_pairs(folder, seconds_name(seconds)).predicted
    shown = read_pairs(folder, "s2f").predicted
    params = {"against": "predicted feature", "seconds": seconds}
    yield mean_row("feature_cosine", "v2f", cosines(FeaturePairs(shown, asked)), who, params)
    shuffled = FeaturePairs(shown[order], asked)
    yield mean_row("feature_cosine", "v2f", cosines(shuffled), who, params | {"control": "shuffled"})


def _paths(folder: Reconstructions, order: np.ndarray) -> tuple[list[Path], list[Controlled]]:
    """True pictures, and the drawn ones and controls that are compared with them, with their params."""
    true, f2f, *controls = (
        [folder.picture(kind, name) for name in folder.people] for kind in ("true", "f2f", *CONTROLS[::-1])
    )
    drawn: list[Controlled] = [({}, f2f), ({"control": "shuffled"}, [f2f[place] for place in order])]
    return true, drawn + [({"control": name}, paths) for name, paths in zip(CONTROLS[::-1], controls, strict=True)]


def _pixel_rows(true: Sequence[Path], drawn: Sequence[Controlled], who: Clusters, lpips: Path | None) -> Iterator[Row]:
    """`image_l1` and, with a backbone, `lpips`."""
    model = load_lpips(lpips) if lpips is not None else None
    with tqdm(total=len(true) * len(drawn), desc="pictures", unit="pairs", delay=2) as progress:
        for params, paths in drawn:
            values: dict[str, list[Tensor]] = {"image_l1": [], **({"lpips": []} if model else {})}
            for first in range(0, len(true), CHUNK):
                part = slice(first, first + CHUNK)
                a, b = _load_pairs(paths[part], true[part])
                values["image_l1"].append((a - b).abs().mean((1, 2, 3)))
                if model is not None:
                    with torch.inference_mode():
                        values["lpips"].append(lpips_distance(model, a, b))
                progress.update(len(a))
            for metric, found in values.items():
                yield mean_row(metric, "f2f", torch.cat(found).double().numpy(), who, params)


def _load_pairs(drawn: Sequence[Path], true: Sequence[Path]) -> tuple[Tensor, Tensor]:
    """Two batches (B, 3, H, W) in [0, 1].

    Raises:
        ImageError: pictures of more than one size.
    """
    pictures = {path: load_image(path) for path in dict.fromkeys([*drawn, *true])}
    expected = pictures[true[0]].shape
    for path, picture in pictures.items():
        if picture.shape != expected:
            got = f"{picture.shape[2]} x {picture.shape[1]} px in {path}"
            wanted = f"pictures of one size, {expected[2]} x {expected[1]} px as {true[0]}"
            raise ImageError(wanted, got, "write the folder with `s2f-eval reconstruct`, or resize the pictures")
    a, b = (torch.stack([pictures[path] for path in side]) for side in (drawn, true))
    return a, b


def _landmark_rows(
    true: Sequence[Path], drawn: Sequence[Controlled], who: Clusters, found: Found, landmarks: str
) -> Iterator[Row]:
    """Rows of `landmark_errors`; pairs of which a picture has no landmarks are left out."""
    points = [_points(found, true), *(_points(found, paths) for _, paths in drawn)]
    for (params, _), shown in zip(drawn, points[1:], strict=True):
        for metric, values in zip(
            ("landmark_error", "landmark_rmse_px"), landmark_errors(shown, points[0]), strict=True
        ):
            yield mean_row(metric, "f2f", values, who, {**params, "landmarks": landmarks})


def _points(found: Found, paths: Sequence[Path]) -> Float[np.ndarray, "N 68 2"]:
    nothing = np.full((68, 2), np.nan)
    return np.stack([found.points.get(path, nothing) for path in paths])


def _view_notes(folder: Reconstructions) -> list[str]:
    """Whether the true pictures may be compared with canonical faces point by point."""
    views = Counter(row.get("view") or "unknown" for row in folder.people.values())
    other = ", ".join(f"{count} {view}" for view, count in sorted(views.items()) if view != "canonical")
    if not other:
        return []
    return [
        f"view of the true pictures: {other}; where it is not canonical (frontal, neutral, even light), "
        "landmark_error, landmark_rmse_px, image_l1 and lpips measure pose, expression and light as well as the decoder"
    ]


def _landmark_notes(folder: Reconstructions, found: Found, out: Path | None) -> list[str]:
    """What has no landmarks and what was changed, counted by kind of picture and, in `out`, listed."""
    notes, missing = [], []
    for kind in ("true", "f2f", *CONTROLS[::-1]):
        paths = {name: folder.picture(kind, name) for name in folder.people}
        without = {name: found.trouble[path] for name, path in paths.items() if path in found.trouble}
        missing += [(name, f"{kind}/{paths[name].name}", reason) for name, reason in without.items()]
        if without:
            reasons = _counted(without.values())
            notes.append(f"{kind}: {len(without)} pictures without landmarks, their pairs left out ({reasons})")
        if changed := [note for path in paths.values() for note in found.notes.get(path, ())]:
            notes.append(f"{kind}: pictures changed before landmarks were found ({_counted(changed)})")
    if out is not None:
        with writing(out):
            write_csv(out / "left_out.csv", ("identity", "picture", "reason"), missing)
    return notes


def _counted(texts: Iterable[str]) -> str:
    return ", ".join(f"{count} {text}" for text, count in sorted(Counter(texts).items()))
