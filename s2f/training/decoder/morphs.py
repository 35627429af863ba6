"""Random morphs between similar people: the data augmentation of decoder training.

Paper: Cole et al., "Synthesizing Normalized Faces from Facial Identity Features" (CVPR 2017), section on data
augmentation with random morphs. A person's neighbour is drawn from the k = 200 nearest under
10 ||L_A - L_B|| + ||T_A - T_B||, L the landmarks and T the textures in the mean landmark frame; landmarks and textures
are interpolated with two independent weights, uniform in [0, 1]. Deviations and choices, whose figures
`benchmarks/morph_units.py DATA FACE_ENCODER` prints:

* the paper prints no units. L is in pixels and T in [0, 1] at full size: of 300 of the starter's simulated people
  (canonical faces of 224 px) the median of the first term is 296 and of the second 64, a median ratio of 4.7; with T in
  [0, 255] the ratio would be .019, and landmarks would hardly count;
* the distance of textures is estimated on pictures reduced to 28 px by area, times P / 28: on the same people .91 of
  the full-size distance (5 % to 95 %: .82 to .95) with correlation .998; 98 % of the 20 nearest stay the same;
* nobody is a neighbour of themselves, and where there are fewer than k others all of them are neighbours;
* the paper pastes the morph onto the original background by gradient-domain blending. Not done here: the background is
  interpolated with the texture.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from s2f.errors import DatasetError

LANDMARK_WEIGHT = 10.0
SMALL_PX = 28
CHUNK = 256


class Morph(NamedTuple):
    """Whom a person is morphed with, and how far: a weight of 0 keeps the person's own, 1 takes the neighbour's.

    Attributes:
        neighbour: number of the other person.
        landmark_weight: in [0, 1].
        texture_weight: in [0, 1].
    """

    neighbour: int
    landmark_weight: float
    texture_weight: float


def nearest_people(
    landmarks: Float[Tensor, "N L 2"], textures: UInt8[Tensor, "N 3 P P"], count: int
) -> Int64[Tensor, "N K"]:
    """Numbers of the people nearest to each person in shape and appearance, nearest first.

    Args:
        landmarks: (N, L, 2) pixels.
        textures: (N, 3, P, P) bytes in the mean landmark frame.
        count: wanted number of neighbours.

    Returns:
        (N, K), K = `count` or N - 1, whichever is smaller.

    Raises:
        DatasetError: fewer than two people.
    """
    people = len(landmarks)
    if people < 2:
        raise DatasetError("at least two people to morph", f"{people}", "add people or set morph_share: 0")
    shapes, looks = _centred(landmarks), _centred(_reduced(textures))
    nearest = []
    for numbers in torch.arange(people).split(CHUNK):
        distances = LANDMARK_WEIGHT * torch.cdist(shapes[numbers], shapes) + torch.cdist(looks[numbers], looks)
        distances[torch.arange(len(numbers)), numbers] = torch.inf
        nearest.append(distances.topk(min(count, people - 1), largest=False).indices)
    return torch.cat(nearest)


def _centred(values: Float[Tensor, "N ..."]) -> Float[Tensor, "N F"]:
    """Rows minus their mean: the same distances, with less rounding."""
    rows = values.flatten(1)
    return rows - rows.mean(0)


def _reduced(textures: UInt8[Tensor, "N 3 P P"]) -> Float[Tensor, "N 3 p p"]:
    """Textures at 28 px, scaled so that their distances estimate those of the full-size ones in units of [0, 1]."""
    size = (SMALL_PX, SMALL_PX)
    small = torch.cat([F.interpolate(part.float() / 255, size, mode="area") for part in textures.split(CHUNK)])
    return small * (textures.shape[-1] / SMALL_PX)


def draw_morph(neighbours: Int64[Tensor, " K"], random: np.random.Generator) -> Morph:
    """Draw a neighbour and two independent weights, all uniformly.

    Args:
        neighbours: (K,) numbers of a person's neighbours.
        random: seeded by (seed, epoch, item), so that a morph depends on nothing else.

    Returns:
        The morph.
    """
    neighbour = int(neighbours[random.integers(len(neighbours))])
    return Morph(neighbour, landmark_weight=random.random(), texture_weight=random.random())


def mix_morph(
    item: int, morph: Morph, landmarks: Float[Tensor, "N L 2"], textures: UInt8[Tensor, "N 3 P P"]
) -> tuple[Float[Tensor, "L 2"], Float[Tensor, "3 P P"]]:
    """Landmarks and texture of a morph.

    Args:
        item: number of the person.
        morph: whom with, and how far.
        landmarks: (N, L, 2) pixels, everybody's.
        textures: (N, 3, P, P) bytes, everybody's.

    Returns:
        (L, 2) pixels and (3, P, P) in [0, 1].
    """
    points = torch.lerp(landmarks[item], landmarks[morph.neighbour], morph.landmark_weight)
    own, other = textures[item].float() / 255, textures[morph.neighbour].float() / 255
    return points, torch.lerp(own, other, morph.texture_weight)
