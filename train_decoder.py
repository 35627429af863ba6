"""Train a normalised-face decoder: `accelerate launch train_decoder.py --config RECIPE --data DIR --output_dir OUT`."""

from s2f.training.arguments import run
from s2f.training.decoder import DecoderArguments, train_decoder

if __name__ == "__main__":
    raise SystemExit(run(DecoderArguments, train_decoder))
