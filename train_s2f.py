"""Train a Speech2Face voice encoder: `accelerate launch train_s2f.py --config RECIPE --data DIR --output_dir OUT`."""

from s2f.commands.program import run_training
from s2f.training.speech2face.task import Speech2FaceArguments, train_speech2face

if __name__ == "__main__":
    raise SystemExit(run_training(Speech2FaceArguments, train_speech2face))
