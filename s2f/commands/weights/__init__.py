"""`s2f weights`: published weights in; checkpoints verified, described, exported and published."""

from s2f.commands.program import Program

COMMANDS = {
    "import": "make a checkpoint folder from a published weights file",
    "verify": "compare a checkpoint folder with its SHA256SUMS and load it strictly",
    "card": "write a checkpoint's model card from its training run and its evaluations",
    "export": "write a checkpoint's networks as ONNX files, and compare them with PyTorch",
    "fit-unexplained": "add to a pipeline what its voices leave open, for samples; say how much they explain",
    "push": "publish a checkpoint, to a folder or to a hub",
}
PROGRAM = Program(
    "s2f weights",
    "Published weights in; checkpoints verified, described, exported and published.",
    "s2f.commands.weights",
    COMMANDS,
    online=("push",),
)
