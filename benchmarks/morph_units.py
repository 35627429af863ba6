"""Figures behind `s2f.training.decoder.morphs`: the two terms of the distance, and what reducing textures costs.

python benchmarks/morph_units.py DATA FACE_ENCODER
"""

from __future__ import annotations

import argparse

import torch
from torch.nn import functional as F

from decoder.warp import warp_image
from s2f.checkpoints.encoders import load_face_encoder
from s2f.datasets import DatasetFolder
from s2f.faces.images import load_batch, to_bytes
from s2f.training.decoder.morphs import LANDMARK_WEIGHT, SMALL_PX

PEOPLE = 300
NEAREST = 20


@torch.inference_mode()
def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("face_encoder")
    options = parser.parse_args()
    data = DatasetFolder(options.data)
    canonical = data.canonical_faces("train")
    landmarks = torch.from_numpy(data.landmarks_of(canonical[name] for name in sorted(canonical)))
    mean, landmarks = landmarks.mean(0), landmarks[:PEOPLE]
    names = sorted(canonical)[:PEOPLE]
    images = load_batch([data.path(canonical[name]) for name in names], lambda image: image, "canonical").float() / 255
    means = mean.expand_as(landmarks)
    batches = list(zip(images.split(30), landmarks.split(30), means.split(30), strict=True))
    textures = torch.cat([to_bytes(warp_image(*batch)) for batch in batches]).float() / 255
    shape = LANDMARK_WEIGHT * torch.cdist(landmarks.flatten(1), landmarks.flatten(1))
    size = images.shape[-1]
    small = F.interpolate(textures, (SMALL_PX, SMALL_PX), mode="area") * (size / SMALL_PX)
    full, reduced = (torch.cdist(t.flatten(1), t.flatten(1)) for t in (textures, small))
    pairs = torch.triu(torch.ones_like(full), 1).bool()
    terms = f"median 10 |dL| {shape[pairs].median():.0f} px, |dT| {full[pairs].median():.1f} in [0, 1]"
    ratio = (shape / full)[pairs].median()
    print(f"{len(names)} people; {terms}")
    print(f"median ratio {ratio:.2f}, with T in [0, 255] {ratio / 255:.4f}")
    low, middle, high = (reduced / full)[pairs].quantile(torch.tensor([0.05, 0.5, 0.95])).tolist()
    together = torch.corrcoef(torch.stack([reduced[pairs], full[pairs]]))[0, 1]
    print(f"{SMALL_PX} px / full size: {middle:.2f} ({low:.2f} to {high:.2f}), correlation {together:.4f}")
    unlike = torch.eye(len(names)) * 1e9
    sets = [
        [set(row) for row in (shape + look + unlike).topk(NEAREST, largest=False)[1].tolist()]
        for look in (full, reduced)
    ]
    kept = sum(len(a & b) for a, b in zip(*sets, strict=True)) / NEAREST / len(names)
    print(f"{kept:.1%} of the {NEAREST} nearest stay the same")
    encoder = load_face_encoder(options.face_encoder)
    back = torch.cat(
        [warp_image(t, m, p) for t, p, m in zip(textures.split(30), landmarks.split(30), means.split(30), strict=True)]
    )
    features = [torch.cat([encoder.features(encoder.prepare(part)) for part in x.split(30)]) for x in (images, back)]
    cosine = F.cosine_similarity(*features, dim=-1)
    error = (images - back).abs().mean()
    print(f"to the mean landmarks and back: image L1 {error:.4f}, feature cosine {cosine.mean():.4f}")


if __name__ == "__main__":
    main()
