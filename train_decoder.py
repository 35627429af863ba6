"""Train a normalised-face decoder: `accelerate launch train_decoder.py --config RECIPE --data DIR --output_dir OUT`."""

from s2f.commands.program import run_training
from s2f.training.decoder.arguments import DecoderArguments
from s2f.training.decoder.task import train_decoder

if __name__ == "__main__":
    raise SystemExit(run_training(DecoderArguments, train_decoder))
