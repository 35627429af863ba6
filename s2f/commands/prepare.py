"""`s2f prepare`: make a dataset folder from a dataset on disk."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from s2f.commands.program import EXIT_OK, sentences, typed

PLACES, LISTS = ("dataset", "root", "out"), ("metadata", "leave_out")


def add_arguments(parser: ArgumentParser) -> None:
    """Add this command's options to its parser."""
    from s2f.prepare.config import PrepareConfig

    parser.add_argument("--list", action="store_true", help="say which datasets there are and how they must lie")
    about = sentences(PrepareConfig)
    for name in PLACES:  # not needed beside --list
        parser.add_argument(name, nargs="?", default="", metavar=name.upper(), help=about[name])
    for name in LISTS:
        parser.add_argument(f"--{name}", nargs="*", default=[], metavar=name.upper(), help=about[name])
    parser.add_class_arguments(PrepareConfig, skip={*PLACES, *LISTS})  # `--voice_activity` takes true or false


def run(arguments: Namespace) -> int:
    """Prepare and print what there is now; 0 done."""
    from s2f.errors import UsageError
    from s2f.prepare.config import PrepareConfig
    from s2f.prepare.report import datasets, summary

    if arguments.list:
        print(datasets())
        return EXIT_OK
    config = typed(PrepareConfig, arguments)
    if not config.out:
        got = " ".join(filter(None, (config.dataset, config.root))) or "nothing"
        raise UsageError("s2f prepare DATASET ROOT OUT", got, "`s2f prepare --list` names the datasets")
    from s2f.prepare.collect import collect
    from s2f.prepare.jobs.run import write_dataset
    from s2f.runtime.processes import processes

    config.check()
    sources, facts = collect(config)
    made = write_dataset(sources, config, facts)
    if processes().is_main:
        print(summary(config.out, made))
    return EXIT_OK
