"""Images as tensors: rounding, channel order and layout by hand."""

import numpy as np
import pytest
import torch
from PIL import Image

from s2f.errors import ImageError
from s2f.faces.images import grid, load_batch, load_image, resize, to_bytes, to_pil, to_tensor


def plain(red, green, blue):
    """An image of 2 x 3 px in one colour, given in bytes."""
    return torch.tensor([red, green, blue]).float()[:, None, None].expand(3, 2, 3) / 255


def test_bytes_round_to_the_nearest_and_clamp():
    values = torch.tensor([0.49, 0.51, 1.49, 1.51, 254.49, 254.51]) / 255
    assert to_bytes(values).tolist() == [0, 1, 1, 2, 254, 255]
    assert to_bytes(torch.tensor([0.5 / 255, 0.5])).tolist() == [0, 128]  # halves go to the even byte: 0.5, 127.5
    assert to_bytes(torch.tensor([-0.3, 1.7])).tolist() == [0, 255]
    assert to_bytes(torch.tensor([1.0], requires_grad=True)).dtype == torch.uint8


def test_every_byte_survives():
    pixels = np.arange(256 * 3, dtype=np.uint8).reshape(16, 16, 3)
    tensor = to_tensor(Image.fromarray(pixels))
    assert tensor.shape == (3, 16, 16)
    np.testing.assert_array_equal(np.asarray(to_pil(tensor)), pixels)


def test_order_is_red_green_blue_then_row_then_column():
    picture = Image.new("RGB", (3, 2))
    picture.putpixel((2, 1), (255, 51, 0))
    tensor = to_tensor(picture)
    assert tensor.shape == (3, 2, 3)
    assert tensor[:, 1, 2].tolist() == pytest.approx([1, 0.2, 0])
    assert tensor.sum() == pytest.approx(1.2)
    assert to_pil(tensor).getpixel((2, 1)) == (255, 51, 0)


def test_grey_becomes_rgb():
    assert to_tensor(Image.new("L", (1, 1), 102)).flatten().tolist() == pytest.approx([0.4, 0.4, 0.4])


def test_grid_puts_rows_below_each_other():
    red, green, blue, white = plain(255, 0, 0), plain(0, 255, 0), plain(0, 0, 255), plain(255, 255, 255)
    sheet = grid([[red, green], [blue, white]])
    assert sheet.size == (6, 4)
    corners = [sheet.getpixel(place) for place in ((2, 1), (3, 1), (2, 2), (3, 2))]
    assert corners == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]


def test_resize_averages_and_keeps_the_right_size():
    image = torch.zeros(1, 3, 4, 4)
    image[..., 2:] = 1
    assert resize(image, 4) is image
    small = resize(image, 2)
    assert small.shape == (1, 3, 2, 2)
    # Antialiased by 2: weights 1/8 3/8 3/8 1/8 around each new pixel, cut off and rescaled to 1 at the border.
    torch.testing.assert_close(small[0, 0, 0], torch.tensor([1 / 7, 6 / 7]))


def test_files_that_are_no_images(tmp_path):
    (tmp_path / "letter.png").write_text("dear reader")
    for name in ("absent.png", "letter.png"):
        with pytest.raises(ImageError, match=rf"expected a readable image file, got .*{name}.*; check the path"):
            load_image(tmp_path / name)


def test_cut_off_file(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:1000])
    with pytest.raises(ImageError, match=r"cut\.png"):
        load_image(tmp_path / "cut.png")


def test_batch_keeps_the_order_of_the_files(tmp_path):
    paths = [tmp_path / f"{k}.png" for k in (3, 1, 2, 0, 5, 4)]
    for path in paths:
        Image.new("RGB", (3, 3), (10 * int(path.stem), 0, 7)).save(path)
    batch = load_batch(paths, lambda image: image[..., :2, :2], "test", threads=3)
    assert batch.dtype == torch.uint8
    assert batch.shape == (6, 3, 2, 2)
    assert batch[:, :, 1, 0].tolist() == [[10 * k, 0, 7] for k in (3, 1, 2, 0, 5, 4)]
