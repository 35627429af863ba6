"""Train a matching system: `accelerate launch train_matching.py --config RECIPE --data DIR --output_dir OUT`."""

from s2f.training.arguments import run
from s2f.training.identity_weighting import train_matching
from s2f.training.matching import MatchingArguments

if __name__ == "__main__":
    raise SystemExit(run(MatchingArguments, train_matching))
