"""Train a face encoder: `accelerate launch train_face.py --config RECIPE --data DIR --output_dir OUT`."""

from s2f.commands.program import run_training
from s2f.training.encoders.face import FaceArguments, train_face

if __name__ == "__main__":
    raise SystemExit(run_training(FaceArguments, train_face))
