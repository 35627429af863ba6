"""VGG-Face, the face encoder of Speech2Face.

Paper: Parkhi, Vedaldi, Zisserman, "Deep Face Recognition" (BMVC 2015), Table 3 (configuration D, 16 layers).
Tensor names (`conv1_1` ... `fc8`) and the channel-major fc6 flatten are those of the published PyTorch conversion
`vgg_face_dag`; so are the RGB channel means.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.configuration_utils import register_to_config
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from encoders.face.base import FaceEncoder

CONVOLUTIONS_PER_BLOCK = (2, 2, 3, 3, 3)


class VGGFace(FaceEncoder):
    """VGG-16 with 2,622 identities: 145,002,878 parameters with the default arguments.

    The feature is fc7 **after** its ReLU, the input of fc8: Speech2Face (section 4) maps fc7 to 2,622 values by fc8
    alone, which leaves no other reading. Values are therefore >= 0.
    """

    CLASSIFIER = "fc8"

    @register_to_config
    def __init__(
        self,
        channels: Sequence[int] = (64, 128, 256, 512, 512),
        fc_size: int = 4096,
        num_identities: int = 2622,
        image_size_px: int = 224,
        image_range: float = 255.0,
        image_mean: Sequence[float] = (129.1863, 104.7624, 93.5940),
        image_std: Sequence[float] = (1.0, 1.0, 1.0),
        dropout: float = 0.5,
    ) -> None:
        """Build the network.

        Args:
            channels: channels of the five blocks.
            fc_size: units of fc6 and fc7, the feature size D.
            num_identities: units N of fc8.
            image_size_px: input side, a multiple of 32.
            image_range: factor that takes images in [0, 1] to the range of mean and std.
            image_mean: RGB means subtracted.
            image_std: RGB divisors.
            dropout: probability after fc6 and fc7, in training only.

        Raises:
            ValueError: `image_size_px` is not a multiple of 32.
        """
        super().__init__()
        if image_size_px % 32:
            raise ValueError(f"expected image_size_px to be a multiple of 32, got {image_size_px}; use 224")
        width_in = 3
        for block, (width, count) in enumerate(zip(channels, CONVOLUTIONS_PER_BLOCK, strict=True), start=1):
            for layer in range(1, count + 1):
                self.add_module(f"conv{block}_{layer}", nn.Conv2d(width_in, width, 3, padding=1))
                width_in = width
        self.fc6 = nn.Linear(width_in * (image_size_px // 32) ** 2, fc_size)
        self.fc7 = nn.Linear(fc_size, fc_size)
        self.fc8 = nn.Linear(fc_size, num_identities)
        self.drop = nn.Dropout(dropout)

    @property
    def embedding_dim(self) -> int:
        """Size D of fc7."""
        return self.config.fc_size

    def features(self, image: Float[Tensor, "B 3 P P"]) -> Float[Tensor, "B D"]:
        """Image to fc7 after its ReLU.

        Args:
            image: (B, 3, P, P) RGB in [0, 1], P = `image_size_px`.

        Returns:
            (B, D) fc7 activations, >= 0.

        Raises:
            ValueError: not at the contract size, or values that are not in [0, 1].
        """
        x = self._normalize(image)
        for block, count in enumerate(CONVOLUTIONS_PER_BLOCK, start=1):
            for layer in range(1, count + 1):
                x = torch.relu(self.get_submodule(f"conv{block}_{layer}")(x))
            x = F.max_pool2d(x, 2)
        x = self.drop(torch.relu(self.fc6(x.flatten(1))))
        return torch.relu(self.fc7(x))

    def logits(self, feature: Float[Tensor, "B D"]) -> Float[Tensor, "B N"]:
        """fc8 of a feature.

        Args:
            feature: (B, D), from `features` or predicted from a voice.

        Returns:
            (B, N) identity logits before the softmax.
        """
        return self.fc8(self.drop(feature))
