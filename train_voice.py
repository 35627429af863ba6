"""Train a voice encoder on speakers: `accelerate launch train_voice.py --config RECIPE --data DIR --output_dir OUT`."""

from s2f.training.arguments import run
from s2f.training.voice_identity import VoiceIdentityArguments, train_voice_identity

if __name__ == "__main__":
    raise SystemExit(run(VoiceIdentityArguments, train_voice_identity))
