"""Wen et al.'s three stages (CVPR 2021, section 3.3, Alg. 1) in one command.

Stages one and two are a run of their own in `<output_dir>/weighting`, which ends with identity_weights.csv. When they
end is known beforehand: every update gives a weight to the same number of identities. Stage three begins anew, from
the first weights of all networks, with fixed identity weights.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import set_seed

from s2f.datasets import DatasetFolder
from s2f.errors import RecipeError
from s2f.matching.methods import TwoLevelAlignment
from s2f.matching.reweighting import IdentityWeights
from s2f.training.loop.arguments import build_network
from s2f.training.loop.checkpointing import complete_checkpoints
from s2f.training.loop.loop import start, train
from s2f.training.matching.task import MatchingArguments, MatchingTask

WEIGHTS = "identity_weights.csv"


@dataclass(frozen=True)
class Weighting:
    """Keys of a recipe's `reweighting`; those left out are the paper's.

    Attributes:
        warm_up_steps: T_warm, steps without weights.
        update_steps: T_update, steps between updates of the weights.
        total_steps: steps of both stages; None ends with the last update, as printed. The code runs 2,400.
        lr_milestones: of these stages; None for those of the recipe. The code has 1,000 and 2,000.
        initial_share: see `IdentityWeights`.
        added: see `IdentityWeights`.
        decay: see `IdentityWeights`.
        momentum: see `IdentityWeights`.
        keep: see `IdentityWeights`.
    """

    warm_up_steps: int = 500
    update_steps: int = 100
    total_steps: int | None = None
    lr_milestones: list[int] | None = None
    initial_share: float | None = None
    added: int | None = None
    decay: float = 0.99
    momentum: float = 0.9
    keep: float = 0.9

    def weights(self, identities: int, mode: str) -> IdentityWeights:
        """Weights of so many identities, before any was observed."""
        own = {item.name for item in fields(self)} - {"warm_up_steps", "update_steps", "total_steps", "lr_milestones"}
        return IdentityWeights(identities, mode, **{name: getattr(self, name) for name in own})  # type: ignore[arg-type]

    def steps(self, weights: IdentityWeights) -> int:
        """Steps of stages one and two; the last update comes before the last of them."""
        return self.total_steps or self.warm_up_steps + weights.updates_needed() * self.update_steps + 1


class WeightingTask(MatchingTask):
    """Stages one and two: the network learns with the weights, and these follow how hard each identity is."""

    def __init__(self, data: DatasetFolder, arguments: MatchingArguments, weighting: Weighting) -> None:
        """Build the task with weights of 1.

        Args:
            data: the dataset folder.
            arguments: the recipe.
            weighting: its settings of the weights.
        """
        super().__init__(data, arguments)
        self.weighting = weighting
        assert isinstance(self.module.method, TwoLevelAlignment), "checked by train_matching"
        self.weights = weighting.weights(len(self.people.identities), arguments.mode)
        self.module.method.weights, self.module.method.observes = self.weights, True

    def begin_step(self, step: int) -> None:
        """Begin stage two after the warm-up, then update the weights every so many steps."""
        super().begin_step(step)
        since = step - self.weighting.warm_up_steps
        if since == 0:
            self.weights.begin()
        elif since > 0 and since % self.weighting.update_steps == 0:
            self.weights.update()

    def export(self, folder: Path) -> None:
        """Write `folder`/identity_weights.csv."""
        self.weights.write(folder / WEIGHTS, self.people.identities)


def train_matching(arguments: MatchingArguments) -> None:
    """Train a matching system and export it to `output_dir`/model.

    Raises:
        RecipeError: `reweighting` with another method, or with focal loss.
    """
    if arguments.reweighting and (arguments.method != "wen2021" or arguments.focal_gamma is not None):
        got = f"method {arguments.method}, focal_gamma {arguments.focal_gamma}"
        raise RecipeError("reweighting with method wen2021 and without focal_gamma", got, "leave one out")
    data = DatasetFolder(arguments.data)
    weights = None
    if arguments.reweighting:
        arguments = _resume_where_it_stopped(arguments)
    accelerator = start(arguments)
    if arguments.reweighting:
        weights = _learn_weights(data, arguments, accelerator)
        set_seed(arguments.seed, device_specific=True)
    task = MatchingTask(data, arguments, weights)
    accelerator.print(task.people.note())
    train(task, arguments, accelerator)


def _resume_where_it_stopped(arguments: MatchingArguments) -> MatchingArguments:
    """Resume the third stage only if it has begun; the first two are looked after by `_learn_weights`."""
    begun = complete_checkpoints(Path(arguments.output_dir))
    folder = Path(arguments.output_dir) / "weighting"
    if arguments.resume_from_checkpoint == "latest" and not begun and folder.is_dir():
        return replace(arguments, resume_from_checkpoint=None)
    if not arguments.resume_from_checkpoint and folder.is_dir():
        fix = "add --resume_from_checkpoint latest or choose another folder"
        raise RecipeError("an output_dir without identity weights", str(folder), fix)
    return arguments


def _learn_weights(data: DatasetFolder, arguments: MatchingArguments, accelerator: Accelerator) -> Path:
    """Stages one and two, unless they are done; returns identity_weights.csv."""
    folder = Path(arguments.output_dir) / "weighting"
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    folder.mkdir(exist_ok=True)
    weighting = build_network(Weighting, arguments.reweighting)
    own = replace(
        arguments,
        output_dir=str(folder),
        resume_from_checkpoint="latest" if complete_checkpoints(folder) else None,
        lr_milestones=arguments.lr_milestones if weighting.lr_milestones is None else weighting.lr_milestones,
        keep_best=None,
        use_ema=False,
        report_to=None,
    )
    task = WeightingTask(data, own, weighting)
    train(task, replace(own, max_train_steps=weighting.steps(task.weights)), accelerator, more_follows=True)
    accelerator.free_memory()
    accelerator.wait_for_everyone()
    return folder / WEIGHTS
