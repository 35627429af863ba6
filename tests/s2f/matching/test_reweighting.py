"""Identity weights against hand-computed steps of Eq. 6 and 7, planted bad identities, and several processes."""

import csv
import multiprocessing

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from s2f.errors import DatasetError, RecipeError
from s2f.matching.reweighting import IdentityWeights


def with_hardness(values, **options):
    weights = IdentityWeights(len(values), **options)
    weights.hardness.copy_(torch.tensor(values))
    return weights


def test_hardness_moves_by_a_tenth_and_only_for_those_seen():
    weights = IdentityWeights(4)
    assert weights.hardness.tolist() == [14.0] * 4
    weights.observe(torch.tensor([2, 0, 2]), torch.tensor([4.0, 24.0, 8.0]))
    assert weights.hardness.tolist() == pytest.approx([15.0, 14.0, 0.9 * 14 + 0.1 * 6, 14.0])
    weights.observe(torch.tensor([2]), torch.tensor([3.2]))
    assert weights.hardness[2].item() == pytest.approx(0.9 * 13.2 + 0.32)
    other = IdentityWeights(2, momentum=0.25, initial_hardness=2.0)
    other.observe(torch.tensor([1]), torch.tensor([6.0], requires_grad=True))
    assert other.hardness.tolist() == [2.0, 5.0]
    assert not other.hardness.requires_grad


def test_two_updates_by_hand():
    weights = with_hardness([5.0, 1.0, 4.0, 2.0, 6.0, 3.0, 9.0], initial_share=0.3, added=2, decay=0.5, keep=0.7)
    assert weights.weight.tolist() == [1] * 7
    assert not weights.done
    weights.begin()  # floor(.3 * 7) = 2
    assert weights.weight.tolist() == [0, 1, 0, 1, 0, 0, 0]
    weights.update()  # of those without, 5 and 2 are easiest
    assert weights.weight.tolist() == [0, 0.5, 1, 0.5, 0, 1, 0]
    assert not weights.done  # 4 of 7; ceil(.7 * 7) = 5 are needed
    weights.hardness[6] = 0.5  # learned meanwhile
    weights.update()
    assert weights.weight.tolist() == [1, 0.25, 0.5, 0.25, 0, 0.5, 1]
    assert weights.done
    weights.update()
    assert weights.weight.tolist() == [1, 0.25, 0.5, 0.25, 0, 0.5, 1]
    assert weights.updates_needed() == 2


def test_decay_is_that_of_the_paper_and_ties_go_to_the_first():
    weights = with_hardness([1.0, 1.0, 1.0, 1.0, 1.0], initial_share=0.2, added=1)
    weights.begin()
    for _ in range(3):
        weights.update()
    assert weights.weight.tolist() == pytest.approx([0.99**3, 0.99**2, 0.99, 1, 0])


def test_the_last_update_adds_whoever_is_left_and_the_first_weight_is_somebody_s():
    weights = with_hardness([1.0, 2.0, 3.0, 4.0], initial_share=0.2, added=2, decay=0.5, keep=1.0)
    weights.begin()
    assert weights.weight.tolist() == [1, 0, 0, 0]
    weights.update()
    weights.update()
    assert weights.weight.tolist() == [0.25, 0.5, 0.5, 1]


def test_modes_have_their_own_numbers():
    for mode, share, active in (("paper", 0.3, 277), ("code", 0.5, 462)):
        weights = IdentityWeights(924, mode)
        weights.hardness.copy_(torch.randperm(924))
        weights.begin()
        assert weights.weight.sum() == active == int(share * 924)
        assert weights.hardness[weights.weight > 0].max() == active - 1
        weights.update()
        assert (weights.weight > 0).sum() == active + 22
    assert IdentityWeights(924).added == 22
    assert IdentityWeights(500, "code").added == 12
    assert IdentityWeights(10, "code").added == 1


@pytest.mark.parametrize(
    ("identities", "options", "wanted"),
    [
        (924, {}, 26),  # from 277 to 832 by 22
        (924, {"mode": "code"}, 17),  # from 462
        (20, {"added": 7}, 2),
        (20, {"added": 50}, 1),
        (20, {"added": 1, "keep": 0.3}, 0),
        (20, {"added": 1, "keep": 0.1}, 0),  # begins with more than that
        (20, {"added": 3, "keep": 1.0}, 5),
        (100, {"added": 1, "initial_share": 0.29, "keep": 0.57}, 28),  # .29 * 100 is 28.999... and .57 * 100 56.999...
        (10, {"added": 1, "initial_share": 0.1, "keep": 0.7}, 6),
    ],
)
def test_updates_needed_agrees_with_the_simulation(identities, options, wanted):
    weights = IdentityWeights(identities, **options)
    weights.hardness.uniform_(generator=torch.Generator().manual_seed(0))
    needed = weights.updates_needed()
    weights.begin()
    taken = 0
    while not weights.done:
        weights.update()
        taken += 1
    assert taken == needed == weights.updates_needed() == wanted
    assert (weights.weight > 0).sum() >= options.get("keep", 0.9) * identities - 1e-6
    assert identities != 924 or options or (weights.weight > 0).sum() == 849


def test_paper_weights_of_a_batch_add_up_to_one():
    weights = with_hardness([1.0, 2.0, 3.0, 4.0], initial_share=0.75)
    label = torch.tensor([0, 2, 3, 0])
    assert weights.of(label).tolist() == [0.25] * 4  # stage one: the plain mean
    weights.begin()
    weights.weight[2] = 0.5
    assert weights.of(label).tolist() == pytest.approx([0.4, 0.2, 0, 0.4])
    assert weights.of(torch.tensor([3, 3])).tolist() == [0, 0]


def test_code_weights_are_normalised_over_everybody():
    weights = with_hardness([1.0, 2.0, 3.0, 4.0], mode="code")
    label = torch.tensor([0, 2, 3, 0])
    assert weights.of(label).tolist() == [1] * 4
    weights.begin()
    weights.weight[0] = 0.5
    assert weights.of(label).tolist() == pytest.approx([0.5 * 4 / 1.5, 0, 0, 0.5 * 4 / 1.5])
    assert weights.of(torch.tensor([3, 2])).tolist() == [1, 1]
    weights.weight.copy_(torch.tensor([1.0, 4e-4, 2e-4, 0.0]))
    scale = 4 / weights.weight.sum().item()
    assert weights.of(torch.tensor([2])).item() == pytest.approx(1 + 2e-4 * scale)  # .0008
    assert weights.of(torch.tensor([1])).item() == pytest.approx(4e-4 * scale)  # .0016


def test_planted_bad_identities_end_with_the_lowest_weights():
    """Alg. 1 on 200 identities of which a tenth is mislabelled, so that their losses are higher."""
    random = np.random.default_rng(0)
    bad = np.zeros(200, dtype=bool)
    bad[random.choice(200, 20, replace=False)] = True
    level = np.where(bad, 12.0, 7.0) + random.normal(0, 1.0, 200)

    def observe(weights, steps):
        for _ in range(steps):
            label = random.choice(200, 64, replace=False)
            loss = level[label] + random.normal(0, 3.0, 64)
            weights.observe(torch.from_numpy(label), torch.from_numpy(loss))

    for mode in ("paper", "code"):
        weights = IdentityWeights(200, mode)
        observe(weights, 60)
        weights.begin()
        while not weights.done:
            observe(weights, 20)
            weights.update()
        assert roc_auc_score(bad, -weights.weight.numpy()) > 0.9
        assert weights.weight[torch.from_numpy(bad)].mean() < 0.2 * weights.weight[torch.from_numpy(~bad)].mean()
        assert np.corrcoef(weights.hardness, level)[0, 1] > 0.8


def test_a_checkpoint_keeps_everything():
    weights = with_hardness([3.0, 1.0, 2.0], initial_share=0.34, added=1)
    weights.begin()
    weights.update()
    restored = IdentityWeights(3, initial_share=0.34, added=1)
    restored.load_state_dict(weights.state_dict())
    assert restored.weight.tolist() == weights.weight.tolist() == [0, pytest.approx(0.99), 1]
    assert not restored.done
    restored.update()
    assert restored.weight.tolist() == pytest.approx([1, 0.99**2, 0.99])
    assert restored.done
    with pytest.raises(AssertionError, match="call begin"):
        IdentityWeights(3).update()


@pytest.mark.parametrize(
    ("identities", "options", "expected"),
    [
        (0, {}, "identities >= 1"),
        (5, {"initial_share": 0.0}, r"initial_share in \(0, 1\]"),
        (5, {"added": 0}, "added >= 1"),
        (5, {"decay": 1.5}, "decay in"),
        (5, {"momentum": 1.0}, "momentum in"),
        (5, {"keep": 1.1}, "keep in"),
    ],
)
def test_numbers_out_of_range_are_refused(identities, options, expected):
    with pytest.raises(RecipeError, match=f"expected {expected}"):
        IdentityWeights(identities, **options)


def test_written_weights_come_back_in_any_order(tmp_path):
    weights = with_hardness([0.1, 3.0, 1e-7, 2.5], initial_share=0.5, added=1)
    weights.begin()
    weights.update()
    path = tmp_path / "identity_weights.csv"
    weights.write(path, ["a", "b", "c,d", "e"])
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["identity"] for row in found] == ["a", "b", "c,d", "e"]
    assert [float(row["weight"]) for row in found] == pytest.approx([0.99, 0, 0.99, 1])
    assert [float(row["hardness"]) for row in found] == pytest.approx([0.1, 3.0, 1e-7, 2.5])
    fewer = IdentityWeights(3, initial_share=0.5, added=1)
    fewer.read(path, ["e", "a", "b"])
    assert torch.equal(fewer.weight, weights.weight[[3, 0, 1]])
    assert torch.equal(fewer.hardness, weights.hardness[[3, 0, 1]])
    fewer.update()  # stage two has begun
    assert fewer.done


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "expected identity weights in .*No such file"),
        ("identity,weight\na,1\n", "expected columns identity, weight, hardness"),
        ("identity,weight,hardness\n", "without rows"),
        ("identity,weight,hardness\na,1,2\nc,1,2\n", "got none for 1 of them, first b; give the identity_weights.csv"),
        ("identity,weight,hardness\na,1,2\nb,1.5,2\n", "expected weights from 0 to 1 in .*got 1 to 1.5"),
        ("identity,weight,hardness\na,-1,2\nb,1,2\n", "got -1 to 1"),
        ("identity,weight,hardness\na,1,2\nb,nan,2\n", "expected numbers in column weight, got 'nan'"),
        ("identity,weight,hardness\na,1,2\nb,1\n", "expected numbers in column hardness, got ''"),
        (b"\xff\xfe\x00", "expected identity weights in .*codec"),
    ],
)
def test_a_bad_table_is_refused(tmp_path, text, message):
    path = tmp_path / "weights.csv"
    if text is not None:
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    weights = IdentityWeights(2)
    with pytest.raises(DatasetError, match=message):
        weights.read(path, ["a", "b"])
    assert weights.weight.tolist() == [1, 1]


LABELS, LOSSES = [[0, 1, 2], [2, 0, 2]], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


def process(rank, store, out):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    weights = IdentityWeights(4)
    weights.observe(torch.tensor(LABELS[rank]), torch.tensor(LOSSES[rank]))
    np.save(out / f"{rank}.npy", weights.hardness.numpy())
    torch.distributed.destroy_process_group()


def test_processes_end_with_the_hardness_of_the_whole_batch(tmp_path):
    start = multiprocessing.get_context("fork").Process
    workers = [start(target=process, args=(rank, tmp_path / "store", tmp_path), daemon=True) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    alone = IdentityWeights(4)
    alone.observe(torch.tensor(LABELS).flatten(), torch.tensor(LOSSES).flatten())
    assert alone.hardness.tolist() == pytest.approx([12.9, 12.8, 12.6 + 13 / 30, 14.0])
    for rank in range(2):
        assert np.load(tmp_path / f"{rank}.npy").tolist() == alone.hardness.tolist()
