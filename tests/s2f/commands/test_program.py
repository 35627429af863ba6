"""Misspelt options are recognised in the parser's own messages."""

import pytest
from jsonargparse import ArgumentError, ArgumentParser

from s2f.commands.program import unknown_option
from s2f.errors import did_you_mean


def test_names_come_from_real_parser_messages(tmp_path):
    """Whatever jsonargparse says today, on the command line and in a file, the unknown name is found in it."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_argument("--seconds", type=float, default=6.0)
    (tmp_path / "file.yaml").write_text("secods: 3\n")
    for words in (["--secods", "3"], ["--config", str(tmp_path / "file.yaml")]):
        with pytest.raises(ArgumentError) as caught:
            parser.parse_args(words)
        assert unknown_option(str(caught.value)) == "secods"
    with pytest.raises(ArgumentError) as caught:
        parser.parse_args(["--seconds", "six"])
    assert unknown_option(str(caught.value)) is None


def test_nearest_name_or_nothing():
    assert did_you_mean("secods", ["device", "seconds"]) == "did you mean seconds?"
    assert did_you_mean("zzz", ["device", "seconds"]) == ""
    assert did_you_mean(None, ["device"]) == ""
