"""Gradient of each term of Speech2Face's Eq. 1 with respect to the voice feature.

The paper tuned its weights (1, 0.025, 200) so that the three gradients are of similar size near step 1,000: this tells
which reduction they fit. Prints the mean norm of dLoss/dv per sample, unweighted and weighted.

    python benchmarks/gradient_balance.py CHECKPOINT DATA
"""

from __future__ import annotations

import argparse

import torch

from s2f.datasets import DatasetFolder
from s2f.faces.features import face_features
from s2f.reconstruction.losses import speech2face_terms
from s2f.reconstruction.pipeline import Speech2FacePipeline

PUBLISHED = {"decoder": 1.0, "normalized": 0.025, "distillation": 200.0}


def gradient_norms(pipeline: Speech2FacePipeline, voice: torch.Tensor, face: torch.Tensor) -> dict[str, float]:
    """Mean over samples of |d term / d v_s|, by term."""
    norms = {}
    for name in PUBLISHED:
        feature = voice.clone().requires_grad_()
        terms = speech2face_terms(feature, face, pipeline.decoder.first_layer, pipeline.face_encoder.logits)
        (gradient,) = torch.autograd.grad(terms[name] * len(feature), feature)
        norms[name] = gradient.norm(dim=-1).mean().item()
    return norms


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("data")
    options = parser.parse_args()
    pipeline = Speech2FacePipeline.from_pretrained(options.checkpoint)
    data = DatasetFolder(options.data)
    faces = {row["identity"]: row for row in data.faces("val")}
    voices = {row["identity"]: row for row in data.voices("val")}
    names = sorted(faces)[:64]
    face = face_features(pipeline.face_encoder, [data.path(faces[name]) for name in names], pipeline.device)
    voice = pipeline([str(data.path(voices[name])) for name in names]).face_features.clone()
    norms = gradient_norms(pipeline, voice, face)
    units = pipeline.decoder.first.out_features
    print(f"{len(names)} held-out pairs, |v_s| {voice.norm(dim=-1).mean():.2f}, |v_f| {face.norm(dim=-1).mean():.2f}")
    print("term            gradient   x published weight")
    for name, norm in norms.items():
        print(f"{name:14s}  {norm:9.4f}  {norm * PUBLISHED[name]:9.4f}")
    print(f"decoder (mean)  {norms['decoder'] / units:9.4f}  {norms['decoder'] / units:9.4f}")


if __name__ == "__main__":
    main()
