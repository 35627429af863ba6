"""VGG-M with batch norm, the face stream of Seeing Voices and Hearing Faces.

Papers: Nagrani, Albanie, Zisserman, "Seeing Voices and Hearing Faces" (SVHF, CVPR 2018), section 3.2, section 7
"Temporal Pooling" and Fig. 8; Parkhi, Vedaldi, Zisserman, "Deep Face Recognition" (BMVC 2015) for the identities.

Two nets go by this name, and the paper does not say which one its authors started from. `layout` decides:

* `figure`: the sizes of Fig. 8. Its padding is not printed; 3 and 2 are the symmetric choice that gives 112 and 28
  pixels. "mpool 2x2" is read as kernel 2 and stride 2 (kernel 3, rounded up, would give the same sizes).
* `published`: the file `vgg_m_face_bn_dag`, which its authors converted to PyTorch. Build it with
  `channels=(96, 256, 512, 512, 512)`, `fc_sizes=(4096, 4096)`, `num_identities=2622`; its tensors then load under
  their own names. Its fc7 has 4096 units where SVHF prints 1024: a net with the paper's fc7 takes fc7 anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from diffusers.configuration_utils import register_to_config
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from encoders.face.base import FaceEncoder


class Geometry(NamedTuple):
    """What differs between the layouts, in pixels; `pool2_rounds_up` counts a window that begins inside."""

    conv1_padding: int
    conv2_padding: int
    pool_kernel: int
    pool2_rounds_up: bool


LAYOUTS = {"figure": Geometry(3, 2, 2, False), "published": Geometry(0, 1, 3, True)}
FIRST_NORM = 49  # the published file numbers its batch norms from here: conv1 has bn49, fc7 has bn55
POOLED_BLOCKS = (1, 2, 5)


class VGGMFace(FaceEncoder):
    """Five convolutions and two fully connected layers, each followed by batch norm and ReLU.

    The feature is fc7 after both, so values are >= 0. Parameters: 57,991,232 as in Fig. 8 (the default arguments);
    109,574,014 as published with 2,622 identities, of which 20,160 belong to batch norms.

    Modules are called as in the published file (conv1, bn49 ... conv5, bn53, fc6, bn54, fc7, bn55, fc8); there, as
    here, fc6 and fc7 are convolutions, fc8 is linear, and pooling comes after the ReLU.
    """

    CLASSIFIER = "fc8"

    @register_to_config
    def __init__(
        self,
        layout: Literal["figure", "published"] = "figure",
        channels: Sequence[int] = (96, 256, 256, 256, 256),
        fc_sizes: Sequence[int] = (4096, 1024),
        num_identities: int = 0,
        image_size_px: int = 224,
        image_range: float = 255.0,
        image_mean: Sequence[float] = (131.4538, 103.9875, 91.4623),
        image_std: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> None:
        """Build the network.

        Args:
            layout: padding of conv1 and conv2, kernel and rounding of the pools; see the module.
            channels: channels of the five convolutions.
            fc_sizes: units of fc6 and of fc7, the feature size D.
            num_identities: units N of fc8; 0 leaves fc8 out.
            image_size_px: input side; the kernel of fc6 follows (7 x 7 or, as published, 6 x 6 at 224).
            image_range: factor that takes images in [0, 1] to the range of mean and std.
            image_mean: RGB means subtracted.
            image_std: RGB divisors.

        Raises:
            ValueError: an unknown layout, or an image too small to leave a map after the last pool.
        """
        super().__init__()
        if layout not in LAYOUTS:
            raise ValueError(f"expected a layout of {', '.join(LAYOUTS)}, got {layout!r}; choose one of them")
        geometry = LAYOUTS[layout]
        map_px = _map_px(image_size_px, geometry)
        if map_px < 1:
            raise ValueError(
                f"expected image_size_px to leave a pixel after pool5, got {image_size_px} in layout {layout}; use 224"
            )
        convolutions = {
            "conv1": nn.Conv2d(3, channels[0], 7, stride=2, padding=geometry.conv1_padding),
            "conv2": nn.Conv2d(channels[0], channels[1], 5, stride=2, padding=geometry.conv2_padding),
            "conv3": nn.Conv2d(channels[1], channels[2], 3, padding=1),
            "conv4": nn.Conv2d(channels[2], channels[3], 3, padding=1),
            "conv5": nn.Conv2d(channels[3], channels[4], 3, padding=1),
            "fc6": nn.Conv2d(channels[4], fc_sizes[0], map_px),
            "fc7": nn.Conv2d(fc_sizes[0], fc_sizes[1], 1),
        }
        for number, (name, convolution) in enumerate(convolutions.items(), start=FIRST_NORM):
            self.add_module(name, convolution)
            self.add_module(f"bn{number}", nn.BatchNorm2d(convolution.out_channels))
        if num_identities:
            self.fc8 = nn.Linear(fc_sizes[1], num_identities)
        self._map_shape = (channels[4], map_px, map_px)

    @property
    def embedding_dim(self) -> int:
        """Size D of fc7."""
        return self.config.fc_sizes[1]

    def early(self, image: Float[Tensor, "B 3 P P"]) -> Float[Tensor, "B C H H"]:
        """Image to the maps of pool5; phi_1 of SVHF section 7.

        Args:
            image: (B, 3, P, P) RGB in [0, 1], P = `image_size_px`.

        Returns:
            (B, C, H, H) maps, >= 0; H is 7 (or, as published, 6) at 224 px.

        Raises:
            ValueError: not at the contract size, or values that are not in [0, 1].
        """
        geometry = LAYOUTS[self.config.layout]
        x = self._normalize(image)
        for block in range(1, 6):
            x = self._unit(f"conv{block}", FIRST_NORM + block - 1, x)
            if block in POOLED_BLOCKS:
                rounds_up = block == 2 and geometry.pool2_rounds_up
                x = F.max_pool2d(x, geometry.pool_kernel, stride=2, ceil_mode=rounds_up)
        return x

    def late(self, maps: Float[Tensor, "B C H H"]) -> Float[Tensor, "B D"]:
        """Maps of pool5 to the feature; phi_2 of SVHF section 7.

        Args:
            maps: (B, C, H, H) from `early`.

        Returns:
            (B, D) fc7 after batch norm and ReLU, >= 0.

        Raises:
            ValueError: maps of another size.
        """
        if tuple(maps.shape[1:]) != self._map_shape:
            expected = ("B", *self._map_shape)
            raise ValueError(f"expected maps {expected}, got {tuple(maps.shape)}; take them from `early`")
        x = self._unit("fc6", FIRST_NORM + 5, maps)
        return self._unit("fc7", FIRST_NORM + 6, x).flatten(1)

    def _unit(self, name: str, norm: int, x: Tensor) -> Tensor:
        return torch.relu(self.get_submodule(f"bn{norm}")(self.get_submodule(name)(x)))

    def features(self, image: Float[Tensor, "B 3 P P"]) -> Float[Tensor, "B D"]:
        """Image to fc7 after batch norm and ReLU.

        Args:
            image: (B, 3, P, P) RGB in [0, 1], P = `image_size_px`.

        Returns:
            (B, D) feature, >= 0.

        Raises:
            ValueError: not at the contract size, or values that are not in [0, 1].
        """
        return self.late(self.early(image))

    def pooled_features(self, images: Float[Tensor, "B T 3 P P"]) -> Float[Tensor, "B D"]:
        """One feature of several images: the largest value over them of every unit of pool5, then the rest.

        SVHF section 7: Phi(X) = phi_2(pool(phi_1(x_1), ..., phi_1(x_T))), pool the maximum over time. The order of the
        images does not matter; of one image it is `features`.

        Args:
            images: (B, T, 3, P, P) RGB in [0, 1], T >= 1 images of one track each.

        Returns:
            (B, D) feature, >= 0.

        Raises:
            ValueError: another rank, no image, or not at the contract size, or values that are not in [0, 1].
        """
        if images.ndim != 5 or not images.shape[1]:
            got = f"got {tuple(images.shape)}; stack the images of a track along dimension 1"
            raise ValueError(f"expected images (B, T, 3, P, P) with T >= 1, {got}")
        maps = self.early(images.flatten(0, 1)).unflatten(0, images.shape[:2])
        return self.late(maps.amax(dim=1))


def _map_px(image_size_px: int, geometry: Geometry) -> int:
    """Side of the maps after pool5."""
    conv1 = (image_size_px + 2 * geometry.conv1_padding - 7) // 2 + 1
    pool1 = (conv1 - geometry.pool_kernel) // 2 + 1
    conv2 = (pool1 + 2 * geometry.conv2_padding - 5) // 2 + 1
    pool2 = (conv2 - geometry.pool_kernel + geometry.pool2_rounds_up) // 2 + 1
    return (pool2 - geometry.pool_kernel) // 2 + 1
