"""Train a face encoder: `accelerate launch train_face.py --config RECIPE --data DIR --output_dir OUT`."""

from s2f.training.encoders.face import FaceArguments, train_face
from s2f.training.loop.arguments import run

if __name__ == "__main__":
    raise SystemExit(run(FaceArguments, train_face))
