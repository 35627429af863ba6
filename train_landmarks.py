"""Train a landmark regressor: `accelerate launch train_landmarks.py --config RECIPE --data DIR --output_dir OUT`."""

from s2f.training.arguments import run
from s2f.training.landmarks import LandmarkArguments, train_landmarks

if __name__ == "__main__":
    raise SystemExit(run(LandmarkArguments, train_landmarks))
