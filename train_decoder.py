"""Train a normalised-face decoder: `accelerate launch train_decoder.py --config RECIPE --data DIR --output_dir OUT`."""

from s2f.training.decoder.task import DecoderArguments, train_decoder
from s2f.training.loop.arguments import run

if __name__ == "__main__":
    raise SystemExit(run(DecoderArguments, train_decoder))
