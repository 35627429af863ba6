"""LPIPS on a local backbone: the numbers by hand, what is refused, and silence. Weights are fabricated, not trained."""

import re
import shlex
from functools import cache

import lpips
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F
from torchvision import models

from s2f.errors import CheckpointError, ImageError
from s2f.faces.lpips import load_lpips, lpips_distance

MODELS = {"alex": models.alexnet, "squeeze": models.squeezenet1_1, "vgg": models.vgg16}
TAPS = {"alex": (1, 4, 7, 9, 11), "squeeze": (1, 4, 7, 9, 10, 11, 12)}  # torchvision's features after which LPIPS reads


@pytest.fixture(scope="module", autouse=True)
def no_classifiers():
    """Draw no weights for the classifiers, which nobody reads: they are most of the networks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Linear, "reset_parameters", lambda self: None)
        patch.setattr(torch.nn.init, "normal_", lambda tensor, *_, **__: tensor)
        yield


@cache
def state(network):
    """torchvision's freshly initialised weights, the classifier cut down to one small tensor."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tensors = MODELS[network](weights=None).state_dict()
    kept = {name: tensor for name, tensor in tensors.items() if name.startswith("features.")}
    return kept | {"classifier.1.weight": torch.ones(2, 2)}


def trained_like(network):
    """Weights no initialisation draws: twice too large, with small biases; not a trained network."""
    with torch.random.fork_rng(devices=[]):
        fresh = state(network)
        return {name: value * 2 + 0.1 * torch.randn_like(value) * (value.ndim == 1) for name, value in fresh.items()}


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    folder = tmp_path_factory.mktemp("backbones")

    def write(tensors, name="backbone.safetensors"):
        save_file(tensors, folder / name)
        return folder / name

    return write


@pytest.fixture(scope="module")
def alex():
    return trained_like("alex")


@pytest.fixture(scope="module")
def metric(write, alex):
    return load_lpips(write(alex, "alex.safetensors"))


@pytest.fixture(scope="module")
def pictures():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def by_hand(network, tensors, a, b):
    """Zhang et al., Eq. 1, with torchvision's own layers and the heads as the wheel stores them."""
    features = MODELS[network](weights=None, num_classes=1).features.eval()
    features.load_state_dict({n.removeprefix("features."): t for n, t in tensors.items() if n.startswith("features.")})
    heads = torch.load(f"{lpips.__path__[0]}/weights/v0.1/{network}.pth", "cpu", weights_only=True)
    mean, deviation = torch.tensor([-0.03, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.45])
    x, total = torch.cat([(2 * image - 1 - mean[:, None, None]) / deviation[:, None, None] for image in (a, b)]), 0.0
    for number, layer in enumerate(features):
        x = layer(x)
        if number in TAPS[network]:
            first, second = F.normalize(x, dim=1).chunk(2)
            weight = heads[f"lin{TAPS[network].index(number)}.model.1.weight"]
            total = total + ((first - second).square() * weight[0]).sum(1).mean((1, 2))
    return total


@pytest.mark.parametrize("network", TAPS)
@torch.no_grad()
def test_distance_by_hand(write, pictures, network):
    tensors = trained_like(network)
    model = load_lpips(write(tensors))
    a, b = pictures, pictures.flip(0)
    torch.testing.assert_close(lpips_distance(model, a, b), by_hand(network, tensors, a, b), rtol=1e-4, atol=1e-6)


def test_equal_pictures_are_at_zero_and_order_does_not_matter(metric, pictures):
    torch.testing.assert_close(lpips_distance(metric, pictures, pictures), torch.zeros(2))
    there, back = (
        lpips_distance(metric, *pair) for pair in ((pictures, pictures.flip(0)), (pictures.flip(0), pictures))
    )
    torch.testing.assert_close(there, back)
    assert there[0] > 0.01
    torch.testing.assert_close(lpips_distance(metric, pictures[:1], pictures[1:])[0], there[0])


def test_distance_grows_with_noise(metric, pictures):
    smooth = F.interpolate(pictures[:, :, :4, :4], (64, 64), mode="bilinear")
    noise = torch.randn(smooth.shape, generator=torch.Generator().manual_seed(2))
    noisy = [lpips_distance(metric, smooth, (smooth + size * noise).clamp(0, 1)) for size in (0.02, 0.05, 0.1, 0.2)]
    assert (torch.stack(noisy).diff(dim=0) > 0).all()


def test_gradient_is_finite_where_no_feature_fires(write, alex, pictures):
    """The square root of the metric's normalisation has no derivative at 0."""
    quiet = {name: tensor - 0.5 * (tensor.ndim == 1) for name, tensor in alex.items()}
    model = load_lpips(write(quiet))
    flat = pictures.clone()
    flat[..., :40] = 0.45
    flat.requires_grad_()
    maps = model.net(model.scaling_layer(2 * flat - 1))
    assert any((level.sum(1) == 0).any() for level in maps)
    lpips_distance(model, flat, pictures.flip(0)).sum().backward()
    assert flat.grad.isfinite().all()
    assert flat.grad.any()


def test_metric_is_frozen_and_keeps_single_precision(metric, pictures):
    assert not metric.training
    assert not any(parameter.requires_grad for parameter in metric.parameters())
    expected = lpips_distance(metric, pictures, pictures.flip(0))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(lpips_distance(metric, pictures, pictures.flip(0)), expected)


def test_loading_is_silent_and_leaves_the_generator_alone(write, alex, capfd, recwarn):
    path, before = write(alex), torch.random.get_rng_state()
    load_lpips(path)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
    assert torch.equal(torch.random.get_rng_state(), before)


def test_pictures_must_fit(metric, pictures):
    for a, b in (
        (pictures, pictures[:1]),
        (pictures[:, :1], pictures[:, :1]),
        (pictures[..., :31], pictures[..., :31]),
    ):
        with pytest.raises(ImageError, match="at least 32"):
            lpips_distance(metric, a, b)


@pytest.mark.parametrize("network", MODELS)
def test_initialised_weights_are_refused(write, network):
    with pytest.raises(CheckpointError, match="trained weights, got weights as initialised"):
        load_lpips(write(state(network)))


def test_initialised_weights_in_half_precision_are_refused(write):
    with pytest.raises(CheckpointError, match="as initialised"):
        load_lpips(write({name: tensor.half() for name, tensor in state("alex").items()}))


def test_wrong_tensors_are_named(write):
    name, squeeze = "features.6.squeeze.bias", trained_like("squeeze")
    cases = {
        f"missing {name}": {key: value for key, value in squeeze.items() if key != name},
        "extra features.99.weight": squeeze | {"features.99.weight": torch.ones(2)},
        f"misshapen {name}": squeeze | {name: torch.ones(3)},
        f"with NaN or infinite values {name}": squeeze | {name: torch.full((32,), torch.nan)},
        "misshapen features.0.weight": squeeze | {"features.0.weight": torch.ones(96, 3, 7, 7)},
    }
    for message, tensors in cases.items():
        with pytest.raises(CheckpointError, match=message):
            load_lpips(write(tensors))


def test_damaged_and_missing_files_are_refused(write, tmp_path):
    with pytest.raises(CheckpointError, match="missing or damaged"):
        load_lpips(tmp_path / "none.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="missing or damaged"):
        load_lpips(tmp_path / "torn.safetensors")


def test_pickles_are_refused_with_a_line_that_converts_them(tmp_path, alex, metric):
    path = tmp_path / "it's alexnet.pth"
    torch.save(alex, path)
    with pytest.raises(CheckpointError, match="the pickle") as caught:
        load_lpips(path)
    line = re.search(r"`(python -c .+)`", str(caught.value))[1]
    _, _, code = shlex.split(line)
    exec(code, {})
    converted = load_lpips(path.with_suffix(".safetensors"))
    assert torch.equal(converted.net.slice3[1].weight, metric.net.slice3[1].weight)
