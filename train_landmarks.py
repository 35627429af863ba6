"""Train a landmark regressor: `accelerate launch train_landmarks.py --config RECIPE --data DIR --output_dir OUT`."""

from s2f.commands.program import run_training
from s2f.training.encoders.landmarks import LandmarkArguments, train_landmarks

if __name__ == "__main__":
    raise SystemExit(run_training(LandmarkArguments, train_landmarks))
