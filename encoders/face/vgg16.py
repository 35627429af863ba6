"""VGG-16 up to conv5_3 with a global average, the face subnetwork of Learning Associations.

Papers: Kim et al., "On Learning Associations of Faces and Voices" (ACCV 2018), section 4.1: "the conv5_3 layer is
average-pooled globally, resulting in 512-d output"; Simonyan and Zisserman, "Very Deep Convolutional Networks"
(ICLR 2015), configuration D, for the net, whose ImageNet weights Kim et al. start from. The two fully connected
layers that follow in the paper belong to the matching head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.configuration_utils import register_to_config
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from encoders.face.base import FaceEncoder
from encoders.face.vgg_face import CONVOLUTIONS_PER_BLOCK


class PooledVGG16(FaceEncoder):
    """Thirteen convolutions and a global average: 14,714,688 parameters with the default arguments.

    Reading: conv5_3 is taken after its ReLU and before pool5, where the pretrained net's other layers read it. Feature
    values are therefore >= 0. Tensors are called conv1_1 ... conv5_3, as in `VGGFace`.

    The means are those of the ImageNet net in RGB, for bytes; `VGGFace`'s means go with its weights (the paper's
    "VGG-Face" comparison), and torchvision's weights want range 1, mean (0.485, 0.456, 0.406) and std
    (0.229, 0.224, 0.225).
    """

    @register_to_config
    def __init__(
        self,
        channels: Sequence[int] = (64, 128, 256, 512, 512),
        batch_norm: bool = False,
        num_identities: int = 0,
        image_size_px: int = 224,
        image_range: float = 255.0,
        image_mean: Sequence[float] = (123.68, 116.779, 103.939),
        image_std: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> None:
        """Build the network.

        Args:
            channels: channels of the five blocks; the last is the feature size D.
            batch_norm: normalise after every convolution (modules bn1_1 ... bn5_3). Ours, for training from random
                weights; the paper's net has none.
            num_identities: units N of `classifier`, linear on the feature; 0 leaves it out.
            image_size_px: input side, a multiple of 16.
            image_range: factor that takes images in [0, 1] to the range of mean and std.
            image_mean: RGB means subtracted.
            image_std: RGB divisors.

        Raises:
            ValueError: `image_size_px` is not a multiple of 16.
        """
        super().__init__()
        if image_size_px % 16:
            raise ValueError(f"expected image_size_px to be a multiple of 16, got {image_size_px}; use 224")
        width_in = 3
        for block, (width, count) in enumerate(zip(channels, CONVOLUTIONS_PER_BLOCK, strict=True), start=1):
            for layer in range(1, count + 1):
                self.add_module(f"conv{block}_{layer}", nn.Conv2d(width_in, width, 3, padding=1))
                if batch_norm:
                    self.add_module(f"bn{block}_{layer}", nn.BatchNorm2d(width))
                width_in = width
        if num_identities:
            self.classifier = nn.Linear(width_in, num_identities)

    @property
    def embedding_dim(self) -> int:
        """Size D of the feature, the channels of conv5_3."""
        return self.config.channels[-1]

    def features(self, image: Float[Tensor, "B 3 P P"]) -> Float[Tensor, "B D"]:
        """Image to the average of conv5_3 over its pixels.

        Args:
            image: (B, 3, P, P) RGB in [0, 1], P = `image_size_px`.

        Returns:
            (B, D) means, >= 0.

        Raises:
            ValueError: not at the contract size, or values that are not in [0, 1].
        """
        x = self._normalize(image)
        for block, count in enumerate(CONVOLUTIONS_PER_BLOCK, start=1):
            if block > 1:
                x = F.max_pool2d(x, 2)
            for layer in range(1, count + 1):
                x = self.get_submodule(f"conv{block}_{layer}")(x)
                if self.config.batch_norm:
                    x = self.get_submodule(f"bn{block}_{layer}")(x)
                x = torch.relu(x)
        return x.mean(dim=(2, 3))
