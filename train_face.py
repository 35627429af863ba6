"""Train a face encoder: `accelerate launch train_face.py --config RECIPE --data DIR --output_dir OUT`."""

from s2f.training.arguments import run
from s2f.training.face import FaceArguments, train_face

if __name__ == "__main__":
    raise SystemExit(run(FaceArguments, train_face))
