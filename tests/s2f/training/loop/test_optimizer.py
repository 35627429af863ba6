"""Schedules at the papers' numbers, SGD by hand, and parts of a network with rates of their own."""

import math

import pytest
import torch
from torch import nn

from s2f.commands.program import run_training
from s2f.errors import RecipeError
from s2f.training.loop.arguments import TrainingArguments
from s2f.training.loop.optimizer import build_optimizer, learning_rate, scaled, set_rates


def arguments(**changes):
    return TrainingArguments(data="d", output_dir="o", **changes)


class Network(nn.Module):
    """Three parts."""

    def __init__(self):
        super().__init__()
        self.voice_encoder = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4))
        self.face_encoder = nn.Linear(3, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.voice_encoder(x) + self.face_encoder(x)).square().mean()


def rates(optimizer, step, total, recipe):
    set_rates(optimizer, step, total, recipe)
    return {group["part"]: group["lr"] for group in optimizer.param_groups}


def test_kim_decays_both_rates_every_80k():
    """Section 4.3: 1e-3 for the new layers, 1e-5 for the pretrained ones, a tenth after every 80k iterations."""
    parts = {"voice_encoder": 0.01, "face_encoder": 0.01}
    recipe = arguments(lr_scheduler="exponential", lr_decay=0.1, lr_decay_steps=80000, part_rates=parts)
    optimizer = build_optimizer(Network(), recipe)
    for step, new in ((0, 1e-3), (79999, 1e-3), (80000, 1e-4), (159999, 1e-4), (160000, 1e-5), (239999, 1e-5)):
        expected = {"voice_encoder": new / 100, "face_encoder": new / 100, "head": new}
        assert rates(optimizer, step, 240000, recipe) == pytest.approx(expected)


def test_trinet_holds_the_face_network_and_freezes_the_voice():
    """Section 5.1: 1e-3 to 1e-6 at 20k, 40k and 60k; the face network's rate is fixed, the voice network frozen."""
    recipe = arguments(
        lr_scheduler="milestones",
        lr_milestones=[20000, 40000, 60000],
        lr_decay=0.1,
        lr_warmup_steps=10,
        part_rates={"voice_encoder": 0, "face_encoder": 1e-3},
        steady_parts=["face_encoder"],
    )
    optimizer = build_optimizer(Network(), recipe)
    expected = {0: 1e-3 / 11, 10: 1e-3, 19999: 1e-3, 20000: 1e-4, 40000: 1e-5, 59999: 1e-5, 60000: 1e-6, 69999: 1e-6}
    for step, head in expected.items():
        assert rates(optimizer, step, 70000, recipe) == pytest.approx({"face_encoder": 1e-6, "head": head}, rel=1e-9)


def test_wen_decays_at_2k_and_3k():
    recipe = arguments(learning_rate=1e-2, lr_scheduler="milestones", lr_milestones=[2000, 3000], lr_decay=0.1)
    for step, rate in ((0, 1e-2), (1999, 1e-2), (2000, 1e-3), (2999, 1e-3), (3000, 1e-4), (9999, 1e-4)):
        assert learning_rate(step, 10000, recipe) == pytest.approx(rate)


def test_svhf_falls_by_one_factor_a_step_from_1e2_to_1e8():
    recipe = arguments(learning_rate=1e-2, lr_scheduler="logarithmic", lr_final=1e-8)
    total = 187501
    assert learning_rate(0, total, recipe) == pytest.approx(1e-2)
    assert learning_rate(total - 1, total, recipe) == pytest.approx(1e-8)
    assert learning_rate((total - 1) // 2, total, recipe) == pytest.approx(1e-5)
    factors = [learning_rate(k + 1, total, recipe) / learning_rate(k, total, recipe) for k in (0, 1, 93000, total - 2)]
    assert factors == pytest.approx([10 ** (-6 / (total - 1))] * 4)
    assert learning_rate(0, 1, recipe) == pytest.approx(1e-2)
    warm = arguments(learning_rate=1e-2, lr_scheduler="logarithmic", lr_warmup_steps=3)
    assert [learning_rate(k, 6, warm) for k in range(6)] == pytest.approx([0.0025, 0.005, 0.0075, 1e-2, 1e-5, 1e-8])


def test_sgd_is_momentum_with_coupled_decay_by_hand():
    recipe = arguments(optimizer="sgd", learning_rate=0.1, momentum=0.9, weight_decay=5e-4)
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 2.0)
    optimizer = build_optimizer(layer, recipe)
    weight, speed = 2.0, 0.0
    for gradient, rate in ((3.0, 0.1), (-1.0, 0.1), (0.5, 0.01)):
        optimizer.param_groups[0]["lr"] = rate
        layer.weight.grad = torch.full((1, 1), gradient)
        optimizer.step()
        speed = 0.9 * speed + gradient + 5e-4 * weight
        weight -= rate * speed
        assert layer.weight.item() == pytest.approx(weight, rel=1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_frozen_parts_do_not_move(optimizer):
    """Not by decay and momentum either; the others do."""
    decay = 0.0 if optimizer == "adam" else 0.1
    recipe = arguments(optimizer=optimizer, weight_decay=decay, part_rates={"voice_encoder": 0})
    torch.manual_seed(0)
    network = Network()
    updates = build_optimizer(network, recipe)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    inputs = torch.randn(8, 3) + 5
    for step in range(3):
        set_rates(updates, step, 3, recipe)
        updates.zero_grad()
        network(inputs).backward()
        updates.step()
    moved = {name.split(".")[0] for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"face_encoder", "head"}
    assert all(p.grad is None for p in network.voice_encoder.parameters())


def test_rates_of_parts_scale_the_step_itself():
    """A part at a tenth of the rate moves a tenth as far."""
    torch.manual_seed(0)
    whole, slow = Network(), Network()
    slow.load_state_dict(whole.state_dict())
    start = whole.face_encoder.weight.detach().clone()
    moves = []
    for network, parts in ((whole, {}), (slow, {"face_encoder": 0.1})):
        recipe = arguments(optimizer="sgd", part_rates=parts)
        optimizer = build_optimizer(network, recipe)
        set_rates(optimizer, 0, 1, recipe)
        network(torch.ones(1, 3)).backward()
        optimizer.step()
        moves.append(network.face_encoder.weight.detach() - start)
    assert moves[0].abs().max() > 1e-6
    torch.testing.assert_close(moves[1], moves[0] / 10, rtol=1e-3, atol=1e-8)
    assert torch.equal(whole.head.weight, slow.head.weight)


def test_one_group_without_parts_as_in_older_checkpoints():
    network = Network()
    optimizer = build_optimizer(network, arguments())
    (group,) = optimizer.param_groups
    assert [id(p) for p in group["params"]] == [id(p) for p in network.parameters()]
    assert "part" not in group
    set_rates(optimizer, 0, 10, arguments(learning_rate=0.25))
    assert group["lr"] == 0.25
    assert [g["part"] for g in build_optimizer(network, arguments(steady_parts=["head"])).param_groups] == [
        *("voice_encoder", "face_encoder", "head")
    ]


def test_an_accepted_change_of_rates_takes_effect_after_loading():
    then, now = arguments(part_rates={"head": 0.5}), arguments(part_rates={"head": 0.1})
    network = Network()
    stored = build_optimizer(network, then).state_dict()
    optimizer = build_optimizer(network, now)
    optimizer.load_state_dict(stored)
    assert rates(optimizer, 0, 10, now)["head"] == pytest.approx(1e-4)


def test_wrong_parts_and_schedules_are_refused():
    with pytest.raises(RecipeError, match=r"parts of the network: voice_encoder, face_encoder, head, got 'face_encod'"):
        build_optimizer(Network(), arguments(part_rates={"face_encod": 0.1}))
    with pytest.raises(RecipeError, match="did you mean head"):
        build_optimizer(Network(), arguments(steady_parts=["heads"]))
    with pytest.raises(RecipeError, match="a part of the network that is trained"):
        build_optimizer(Network(), arguments(part_rates={"voice_encoder": 0, "face_encoder": 0, "head": 0}))
    with pytest.raises(RecipeError, match="part_rates >= 0"):
        arguments(part_rates={"head": -1.0})
    with pytest.raises(RecipeError, match="lr_milestones for lr_scheduler milestones, got none"):
        arguments(lr_scheduler="milestones")
    with pytest.raises(RecipeError, match="lr_final above 0"):
        arguments(lr_scheduler="logarithmic", lr_final=0.0)


def test_scaling_with_sgd_is_linear_and_moves_milestones():
    """Four times the batch: four times the rates, a quarter of the steps. With Adam the rates double."""
    changes = {"learning_rate": 1e-2, "lr_scheduler": "milestones", "lr_milestones": [2000, 3000], "scale_lr_from": 8}
    for optimizer, factor in (("sgd", 4.0), ("adam", math.sqrt(4.0))):
        large = scaled(arguments(optimizer=optimizer, train_batch_size=16, **changes), processes=2)
        assert large.lr_milestones == [500, 750]
        assert (large.learning_rate, large.lr_final) == pytest.approx((factor * 1e-2, factor * 1e-8))


def test_recipes_and_the_command_line_know_the_fields(tmp_path):
    (tmp_path / "recipe.yaml").write_text(
        "optimizer: sgd\nlr_scheduler: milestones\nlr_milestones: [2000, 3000]\npart_rates: {voice_encoder: 0}\n"
        "steady_parts: [face_encoder]\nkeep_best: val_accuracy\n"
    )
    seen = []
    words = ["--data", "d", "--output_dir", "o", "--config", str(tmp_path / "recipe.yaml"), "--momentum", "0.5"]
    assert run_training(TrainingArguments, seen.append, [*words, "--part_rates.face_encoder", "0.001"]) == 0
    (recipe,) = seen
    assert recipe.part_rates == {"voice_encoder": 0, "face_encoder": 0.001}
    assert (recipe.optimizer, recipe.momentum, recipe.lr_milestones) == ("sgd", 0.5, [2000, 3000])
    assert recipe.deciding()["keep_best"] == "val_accuracy"
    assert run_training(TrainingArguments, seen.append, [*words, "--optimizer", "sdg"]) == 2
