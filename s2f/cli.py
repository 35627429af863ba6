"""The `s2f` command."""

from s2f.commands.program import Program

COMMANDS = {
    "reconstruct": "draw the average-looking face linked with a voice",
    "demo": "open the browser demo: upload or record a voice, see a face",
    "doctor": "say what works here and what is missing",
    "simulate": "make a dataset of synthetic people with voices made from real ones",
    "prepare": "make a dataset folder from VoxCeleb, AVSpeech, your own films and others",
    "data": "check a dataset folder: is it complete, is it honest",
    "embed": "write the embeddings folder of a matching checkpoint",
    "weights": "read published weights; verify, describe, export and publish checkpoints",
    "shards": "pack a dataset's voices and face features into tar files, or index tars made elsewhere",
}
PROGRAM = Program("s2f", "Hear a voice, see a face.", "s2f.commands", COMMANDS, online=("weights",))
main = PROGRAM.main
