"""The `s2f-eval` command."""

from s2f.command_line import Program

COMMANDS = {
    "matching": "whose face, whose voice: exact 1:2 and 1:N accuracy of an embeddings folder",
    "verification": "same person or not: exact AUC and equal error rate of an embeddings folder",
    "retrieval": "mean average precision and recall of an embeddings folder, full and random galleries",
    "compare": "two embeddings folders of the same people: paired difference in 1:2 accuracy",
    "demographics": "gender agreement, shuffled control, adults shown as children, one face per picture",
    "simulated": "age class, gender and craniofacial measures of drawn faces against the truth of simulated people",
}
PROGRAM = Program("s2f-eval", "Measure how far voice and face agree.", "eval.commands", COMMANDS)
main = PROGRAM.main
