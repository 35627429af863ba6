"""NetVLAD and GhostVLAD: pooling of a set of local features by soft assignment to clusters.

Papers: Arandjelovic et al., "NetVLAD" (CVPR 2016), eq. 4; Zhong et al., "GhostVLAD for Set-based Face Recognition"
(ACCV 2018), section 3.2. As in the code of Xie et al. (ICASSP 2019): the scores come from outside (there a convolution
of its own, not a linear map of the local features), every cluster is normalised on its own, and the whole vector is not
normalised again. That code also stores centres of the ghost clusters, which nothing reads; they are left out here.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

SMALLEST_NORM = 1e-6  # the square root of Keras's 1e-12


class VLAD(nn.Module):
    """Sum, per cluster, of the assigned differences to its centre: V_k = sum_n a_nk (x_n - c_k), then unit length.

    With more scores than clusters the rest are ghosts: they take part in the softmax, so that they can draw weight away
    from the clusters, and give no output (GhostVLAD). Without ghosts this is NetVLAD.
    """

    def __init__(self, clusters: int, size: int) -> None:
        """Create the centres, orthogonal to each other.

        Args:
            clusters: number K of clusters.
            size: size D of a local feature.
        """
        super().__init__()
        self.centres = nn.Parameter(nn.init.orthogonal_(torch.empty(clusters, size)))

    def forward(self, local: Float[Tensor, "B D N"], scores: Float[Tensor, "B K+G N"]) -> Float[Tensor, "B K*D"]:
        """Pool local features.

        Args:
            local: (B, D, N) local features.
            scores: (B, K + G, N) scores of the K clusters and then the G ghosts, before the softmax.

        Returns:
            (B, K * D): K pieces of D values, each of unit length.

        Raises:
            ValueError: other sizes than these.
        """
        clusters, size = self.centres.shape
        if local.shape[1] != size or scores.shape[1] < clusters or scores.shape[2] != local.shape[2]:
            raise ValueError(
                f"expected local features (B, {size}, N) and at least {clusters} scores (B, K + G, N), got "
                f"{tuple(local.shape)} and {tuple(scores.shape)}; give one row of scores per cluster and ghost"
            )
        weights = scores.softmax(dim=1)[:, :clusters]
        sums = weights @ local.transpose(1, 2) - weights.sum(dim=2, keepdim=True) * self.centres
        return nn.functional.normalize(sums, dim=2, eps=SMALLEST_NORM).flatten(1)
