"""The `s2f-eval` command."""

from s2f.commands.program import Program

COMMANDS = {
    "matching": "whose face, whose voice: exact 1:2 and 1:N accuracy of an embeddings folder",
    "verification": "same person or not: exact AUC and equal error rate of an embeddings folder",
    "retrieval": "mean average precision and recall of an embeddings folder, full and random galleries",
    "compare": "two embeddings folders of the same people: paired difference in 1:2 accuracy",
    "reconstruct": "draw the faces of a split, from photos and from voices: the folder that the next commands read",
    "features": "predicted against true face features, and retrieval by them",
    "craniofacial": "correlation of face measures of two folders of pictures of the same people",
    "decoder": "how well the face decoder draws the face of the feature it is given",
    "probes": "fit a classifier of gender, age class and ethnicity on face features, with its own error",
    "demographics": "gender, age class and ethnicity of drawn faces against people and their pictures, with controls",
    "consistency": "how stable the face of a voice is over segments, clips and clip lengths",
    "report": "one page of everything that can be said from a reconstructions folder",
    "simulated": "age class, gender and craniofacial measures of drawn faces against the truth of simulated people",
}
PROGRAM = Program("s2f-eval", "Measure how far voice and face agree.", "eval.commands", COMMANDS)
main = PROGRAM.main
