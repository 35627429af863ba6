"""Train a voice encoder on speakers: `accelerate launch train_voice.py --config RECIPE --data DIR --output_dir OUT`."""

from s2f.commands.program import run_training
from s2f.training.encoders.voice import VoiceIdentityArguments, train_voice_identity

if __name__ == "__main__":
    raise SystemExit(run_training(VoiceIdentityArguments, train_voice_identity))
