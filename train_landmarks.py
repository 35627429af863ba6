"""Train a landmark regressor: `accelerate launch train_landmarks.py --config RECIPE --data DIR --output_dir OUT`."""

from s2f.training.encoders.landmarks import LandmarkArguments, train_landmarks
from s2f.training.loop.arguments import run

if __name__ == "__main__":
    raise SystemExit(run(LandmarkArguments, train_landmarks))
