"""A small network that finds the 68 iBUG landmarks of a face, to a fraction of a pixel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

from encoders.face.base import require_square
from encoders.face.compact import ResidualBlock
from encoders.inputs import require_picture_type, require_pictures

NUM_LANDMARKS = 68


def soft_argmax(
    logits: Float[Tensor, "B N G G"], offsets: Float[Tensor, "B N 2 G G"] | None = None
) -> Float[Tensor, "B N 2"]:
    """Mean position under the softmax of a heat map, every cell voting for its own centre plus its offset.

    Args:
        logits: (B, N, G, G) heat maps, rows first.
        offsets: (B, N, 2, G, G) what cells add to their centre, (x, y) in cells; None is zero.

    Returns:
        (B, N, 2) positions (x, y) in cells, origin at the centre of the top left cell.
    """
    batch, points, rows, columns = logits.shape
    weights = logits.flatten(2).softmax(-1)
    y, x = torch.meshgrid(
        torch.arange(rows, device=logits.device), torch.arange(columns, device=logits.device), indexing="ij"
    )
    position = weights @ torch.stack([x, y], -1).reshape(-1, 2).to(weights.dtype)
    if offsets is None:
        return position
    return position + (offsets.reshape(batch, points, 2, -1) * weights[:, :, None]).sum(-1)


class LandmarkRegressor(ModelMixin, ConfigMixin):
    """Residual network that halves the image four times and climbs back up to heat maps of a quarter of the side.

    The position of a point is the soft argmax of its heat map with learned offsets, so a point may lie between cells
    and a little outside the image.
    """

    @register_to_config
    def __init__(
        self,
        channels: Sequence[int] = (24, 48, 64, 96),
        head_channels: int = 64,
        image_size_px: int = 112,
        window: Sequence[float] = (0.0, 0.0, 1.0),
        image_mean: Sequence[float] = (0.5, 0.5, 0.5),
        image_std: Sequence[float] = (0.25, 0.25, 0.25),
    ) -> None:
        """Build the network.

        Args:
            channels: widths at 1/2, 1/4, 1/8 and 1/16 of the image side.
            head_channels: width of the way up, which ends at 1/4.
            image_size_px: side that images are resized to, a multiple of 16.
            window: left edge, upper edge and side of the part of an image that is looked at, as shares of its side.
            image_mean: RGB means subtracted.
            image_std: RGB divisors.

        Raises:
            ValueError: `image_size_px` is not a multiple of 16, not four widths, or a window beyond the image.
        """
        super().__init__()
        left, top, size = window
        if min(left, top) < 0 or not 0 < size <= 1 - max(left, top):
            raise ValueError(f"expected a window inside the image, got {tuple(window)}; use shares of the side, 0 to 1")
        if image_size_px % 16 or len(channels) != 4:
            raise ValueError(
                f"expected image_size_px to be a multiple of 16 and four channels, got {image_size_px} and "
                f"{len(channels)}; change them"
            )
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels[0], 5, 2, 2, bias=False), nn.BatchNorm2d(channels[0]), nn.ReLU()
        )
        self.down = nn.ModuleList(ResidualBlock(channels[i], channels[i + 1], 2) for i in range(3))
        self.lateral = nn.ModuleList(nn.Conv2d(width, head_channels, 1) for width in channels[1:])
        self.up = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(head_channels, head_channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(head_channels),
                nn.ReLU(),
            )
            for _ in range(3)
        )
        self.heatmaps = nn.Conv2d(head_channels, NUM_LANDMARKS, 1)
        self.offsets = nn.Conv2d(head_channels, 2 * NUM_LANDMARKS, 1)

    @property
    def image_size_px(self) -> int:
        """Side that images are resized to, in pixels."""
        return self.config.image_size_px

    def prepare(self, image: Float[Tensor, "B 3 H H"]) -> Float[Tensor, "B 3 P P"]:
        """Cut out the window and resize it to the network's size (antialiased bilinear; differentiable).

        Args:
            image: (B, 3, H, H) RGB in [0, 1].

        Returns:
            (B, 3, P, P) RGB in [0, 1], P = `image_size_px`.

        Raises:
            ValueError: not a batch of square RGB images, or not floats; whether they lie in [0, 1] `locate` sees.
        """
        require_square(image)
        require_picture_type(image)
        left, top, side = self.window_px(image.shape[-1])
        image = image[:, :, top : top + side, left : left + side]
        return v2.functional.resize(image, [self.image_size_px, self.image_size_px], antialias=True)

    def window_px(self, size_px: int) -> tuple[int, int, int]:
        """Left edge, upper edge and side of the window in whole pixels of an image of side `size_px`."""
        left, top, side = (round(share * size_px) for share in self.config.window)
        return left, top, side

    def forward(self, image: Float[Tensor, "B 3 H H"]) -> Float[Tensor, "B 68 2"]:
        """Find the landmarks.

        Args:
            image: (B, 3, H, H) RGB in [0, 1], framed about like a canonical face; any side H.

        Returns:
            (B, 68, 2) points (x, y) in pixels of `image`, origin at the centre of its top left pixel.

        Raises:
            ValueError: not a batch of square RGB images, or values that are not in [0, 1], see `encoders.inputs`.
        """
        cells, _ = self.locate(self.prepare(image))
        return self.to_pixels(cells, image.shape[-1])

    def to_pixels(self, cells: Float[Tensor, "B 68 2"], size_px: int) -> Float[Tensor, "B 68 2"]:
        """Positions in cells of the heat maps to pixels of the image, of side `size_px`, that `prepare` was given."""
        left, top, side = self.window_px(size_px)
        return (cells + 0.5) * (side * 4 / self.image_size_px) - 0.5 + cells.new_tensor((left, top))

    def locate(self, image: Float[Tensor, "B 3 P P"]) -> tuple[Float[Tensor, "B 68 2"], Float[Tensor, "B 68 G G"]]:
        """Find the landmarks in units of the heat maps, whose side G is a quarter of P.

        Args:
            image: (B, 3, P, P) RGB in [0, 1], P = `image_size_px`.

        Returns:
            (B, 68, 2) points (x, y) in cells, origin at the centre of the top left cell, and the heat maps
            (B, 68, G, G) as logits.

        Raises:
            ValueError: not at the network's size, or values that are not in [0, 1], see `encoders.inputs`.
        """
        size = self.image_size_px
        if image.ndim != 4 or tuple(image.shape[1:]) != (3, size, size):
            raise ValueError(f"expected images (B, 3, {size}, {size}), got {tuple(image.shape)}; call `prepare` first")
        require_pictures(image)
        mean = torch.tensor(self.config.image_mean, device=image.device, dtype=image.dtype)[:, None, None]
        std = torch.tensor(self.config.image_std, device=image.device, dtype=image.dtype)[:, None, None]
        x = self.stem(((image - mean) / std).contiguous(memory_format=torch.channels_last))  # a quarter faster on CPUs
        levels = []
        for block, lateral in zip(self.down, self.lateral, strict=True):
            x = block(x)
            levels.append(lateral(x))
        x = self.up[0](levels[2])
        for level, up in ((levels[1], self.up[1]), (levels[0], self.up[2])):
            x = up(F.interpolate(x, size=level.shape[2:], mode="bilinear", align_corners=False) + level)
        offsets = self.offsets(x).unflatten(1, (NUM_LANDMARKS, 2))
        logits = self.heatmaps(x).float()
        return soft_argmax(logits, offsets.float()), logits
