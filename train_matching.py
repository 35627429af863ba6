"""Train a matching system: `accelerate launch train_matching.py --config RECIPE --data DIR --output_dir OUT`."""

from s2f.commands.program import run_training
from s2f.training.matching.task import MatchingArguments
from s2f.training.matching.three_stages import train_matching

if __name__ == "__main__":
    raise SystemExit(run_training(MatchingArguments, train_matching))
