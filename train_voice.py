"""Train a voice encoder on speakers: `accelerate launch train_voice.py --config RECIPE --data DIR --output_dir OUT`."""

from s2f.training.encoders.voice import VoiceIdentityArguments, train_voice_identity
from s2f.training.loop.arguments import run

if __name__ == "__main__":
    raise SystemExit(run(VoiceIdentityArguments, train_voice_identity))
