"""The doors of the encoders: what they refuse, what it costs, and where they do not look."""

import warnings

import pytest
import torch
from torch.overrides import TorchFunctionMode

from encoders.face.compact import CompactFaceEncoder
from encoders.face.landmarks import LandmarkRegressor
from encoders.face.vgg_m import VGGMFace
from encoders.inputs import OVERSHOOT, trusted_inputs
from encoders.voice.vgg_m import VGGMVoice

WAITS = {
    torch.Tensor.tolist,
    torch.Tensor.item,
    torch.Tensor.cpu,
    torch.Tensor.numpy,
    torch.Tensor.__bool__,
    torch.Tensor.__float__,
    torch.Tensor.__int__,
}


class Waits(TorchFunctionMode):
    """Counts whatever would wait for a device: numbers fetched from a tensor."""

    def __init__(self):
        super().__init__()
        self.fetched = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in WAITS:
            self.fetched.append(tuple(args[0].shape))
        return func(*args, **(kwargs or {}))


def compact():
    return CompactFaceEncoder((4, 8), 12, 5, 16).eval()


def landmarks():
    return LandmarkRegressor((4, 4, 4, 4), 4, 32).eval()


def vgg_m():
    return VGGMFace(channels=(2, 2, 2, 2, 2), fc_sizes=(4, 3), image_size_px=64).eval()


def voice():
    return VGGMVoice(channels=(4, 4, 4, 4, 4), fc_sizes=(8, 8)).eval()


FACE_DOORS = {
    "features": (lambda: compact().features, (3, 3, 16, 16)),
    "forward": (lambda: compact(), (3, 3, 16, 16)),
    "early": (lambda: vgg_m().early, (3, 3, 64, 64)),
    "pooled": (lambda: vgg_m().pooled_features, (3, 2, 3, 64, 64)),
    "locate": (lambda: landmarks().locate, (3, 3, 32, 32)),
    "find": (lambda: landmarks(), (3, 3, 32, 32)),
}
DOORS = FACE_DOORS | {"encode": (lambda: voice().encode, (3, 16000))}
every_door = pytest.mark.parametrize("name", DOORS)
every_face_door = pytest.mark.parametrize("name", FACE_DOORS)


def opened(name):
    """A door and a good batch for it."""
    torch.manual_seed(0)
    door, shape = DOORS[name]
    return door(), torch.rand(shape) if name in FACE_DOORS else torch.rand(shape) * 2 - 1


@every_face_door
def test_pictures_of_another_unit_are_refused(name):
    door, image = opened(name)
    with pytest.raises(ValueError, match=r"expected pictures as floats in \[0, 1\], got torch.uint8; divide by 255"):
        door((image * 255).to(torch.uint8))
    with pytest.raises(ValueError, match=r"values in \[0, 1\], got \S+ to 25[45]\S* \(torch.float32, shape .*by 255$"):
        door(image * 255)
    with pytest.raises(ValueError, match=r"got -[12]\S* to [12]\S* .*; undo the normalisation: encoders subtract"):
        door(image * 4 - 2)


def test_samples_of_another_unit_are_refused():
    door, waveform = opened("encode")
    with pytest.raises(ValueError, match=r"expected waveforms as floats in \[-1, 1\], got torch.int16; .* / 32768"):
        door((waveform * 32767).to(torch.int16))
    with pytest.raises(ValueError, match=r"in \[-1, 1\], got -3.2\d+e\+04 to 3.2\d+e\+04 \(torch.float32, .*32768 for"):
        door(waveform * 32767)


@every_door
@pytest.mark.parametrize(("number", "shown"), [(float("nan"), "NaN"), (float("inf"), "inf"), (float("-inf"), "-inf")])
@pytest.mark.parametrize("place", [0, -1])
def test_one_value_that_is_no_number_is_refused(name, number, shown, place):
    door, batch = opened(name)
    batch[1].view(-1)[place] = number
    with pytest.raises(ValueError, match=rf"got .*{shown} .*\(torch.float32, shape .*; find out which step before"):
        door(batch)


@every_door
def test_one_bad_item_of_a_batch_is_refused(name):
    door, batch = opened(name)
    batch[2] = batch[2] * 255
    with pytest.raises(ValueError, match=r"1\], got .* to 25\d"):
        door(batch)


@every_door
def test_another_rank_is_refused(name):
    door, batch = opened(name)
    for wrong in (batch[0], batch[None]):
        with pytest.raises(ValueError, match=r"^expected .*got"):
            door(wrong)


@every_door
def test_the_limits_and_a_little_beyond_pass(name):
    door, batch = opened(name)
    low = 0.0 if name in FACE_DOORS else -1.0
    for lowest, highest in ((low, 1.0), (low - 0.99 * OVERSHOOT, 1 + 0.99 * OVERSHOOT)):
        batch[0], batch[1] = lowest, highest
        door(batch)
        door(batch.double().float().requires_grad_())
    for beyond in (low - 1.01 * OVERSHOOT, 1 + 1.01 * OVERSHOOT):
        batch[1] = beyond
        with pytest.raises(ValueError, match="expected"):
            door(batch)


@every_door
def test_a_call_waits_for_the_device_once(name):
    """For two numbers, however large the batch is; not at all inside `trusted_inputs`, which ends with its block."""
    door, batch = opened(name)
    with Waits() as waits:
        door(torch.cat([batch, batch]))
    assert waits.fetched == [(2,)]
    with Waits() as waits, trusted_inputs():
        door(batch)
        door(batch * 200)
    assert waits.fetched == []
    with pytest.raises(ValueError, match="expected"):
        door(batch * 200)


def test_trust_ends_with_an_error():
    with pytest.raises(KeyError), trusted_inputs():
        raise KeyError
    with pytest.raises(ValueError, match="divide by 255"):
        compact().features(torch.full((1, 3, 16, 16), 255.0))


@pytest.mark.parametrize("network", [compact, landmarks])
def test_prepare_refuses_bytes_and_looks_at_no_number(network):
    """What it makes of 0 to 255 is still 0 to 255, and refused by the next door."""
    image = torch.rand(2, 3, 40, 40)
    with pytest.raises(ValueError, match=r"got torch\.uint8; divide by 255"):
        network().prepare((image * 255).to(torch.uint8))
    with pytest.raises(ValueError, match="expected square RGB images"):
        network().prepare(image[0])
    with Waits() as waits:
        assert network().prepare(image * 255).max() > 100
    assert waits.fetched == [()]  # the comparison above


@every_door
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_any_floating_type_is_looked_at(name, dtype):
    door, batch = opened(name)
    for wrong in (batch.to(dtype) * 255, torch.full_like(batch, torch.nan, dtype=dtype)):
        with pytest.raises(ValueError, match=rf"got .*\({dtype}, shape"):
            door(wrong)


def test_nothing_is_looked_at_where_there_is_nothing():
    assert compact().features(torch.rand(0, 3, 16, 16)).shape == (0, 12)
    with torch.device("meta"):
        assert compact().features(torch.rand(2, 3, 16, 16)).shape == (2, 12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["features", "locate", "encode"])
def test_compiled_exported_and_traced_in_one_piece(name):
    """The graph holds no look at the numbers, so it takes any; the network itself still looks."""
    door, batch = opened(name)

    class Door(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = door.__self__

        def forward(self, x):
            result = getattr(self.network, door.__name__)(x)
            return result if isinstance(result, torch.Tensor) else result[0]

    module = Door().eval()
    with torch.no_grad():
        expected = module(batch)
        made = [torch.compile(module, backend="eager", fullgraph=True), torch.export.export(module, (batch,)).module()]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing is deprecated, and shapes become constants
            made.append(torch.jit.trace(module, (batch,)))
        for graph in made:
            torch.testing.assert_close(graph(batch), expected)
            assert graph(batch * 200).shape == expected.shape
        with pytest.raises(ValueError, match="expected"):
            module(batch * 200)
