"""Errors a caller can act on: each says what was expected, what was got and how to fix it."""

import difflib
from collections.abc import Iterable


class S2fError(ValueError):
    """Base of all caller-facing errors of s2f.

    Args:
        expected: what would have been accepted.
        got: what was given instead.
        fix: what to do about it. PyTorch's loader passes an error of a worker process on as one text, the traceback
            with the sentence on its last line: then `got` and `fix` are absent and the sentence is kept.
    """

    def __init__(self, expected: str, got: str | None = None, fix: str | None = None):
        super().__init__(expected, got, fix)
        self.expected, self.got, self.fix = expected, got, fix

    def __str__(self) -> str:
        if self.got is None:
            return self.expected.strip().splitlines()[-1].partition(": ")[2] or self.expected
        return f"expected {self.expected}, got {self.got}; {self.fix}"


class AudioError(S2fError):
    """A clip that cannot be used."""


class AudioMissing(AudioError, FileNotFoundError):
    """A clip, or the list of a folder of voices, that does not exist."""


class AudioTooShort(AudioError):
    """A clip shorter than the shortest useful one."""


class SilentAudio(AudioError):
    """A clip with no sound in the part that is used."""


class ImageError(S2fError):
    """An image of the wrong kind, size or range."""


class CheckpointError(S2fError):
    """A checkpoint that is absent, damaged or made for another network."""


class AssetMissing(S2fError, FileNotFoundError):
    """An optional package, model file or asset that is absent or unreadable."""


class OutputError(S2fError):
    """A result that cannot be written where it was asked for."""


class UsageError(S2fError):
    """A combination of arguments that makes no sense."""


class DatasetError(S2fError):
    """A dataset folder that does not keep its contract."""


class BadFile(DatasetError):
    """A recording or picture of a dataset folder that cannot be read or used.

    Attributes:
        path: the file, as the folder's tables name it.
    """

    path: str = ""

    @classmethod
    def of(cls, path: str, error: Exception) -> "BadFile":
        """Say which file an error is about.

        Args:
            path: the file.
            error: what reading it raised.

        Returns:
            The error to raise.
        """
        fix = "repair it, remove its row, or leave such files out with --skip_bad true"
        bad = cls("files that can be used", f"{path} ({error})", fix)
        bad.path = path
        return bad


class RecipeError(S2fError):
    """A training recipe with a wrong name or value."""


def did_you_mean(name: str | None, known: Iterable[str]) -> str:
    """`did you mean X?` for the nearest known name, or an empty text."""
    near = difflib.get_close_matches(name or "", list(known), n=1)
    return f"did you mean {near[0]}?" if near else ""


def check_names(given: Iterable[str], known: Iterable[str], kind: str) -> None:
    """Refuse names that are not known.

    Args:
        given: names somebody wrote.
        known: names there are.
        kind: what they name, for the message.

    Raises:
        UsageError: the first unknown name, with the nearest known one.
    """
    known = list(known)
    for name in given:
        if name not in known:
            fix = did_you_mean(name, known) or f"choose from {', '.join(known)}"
            raise UsageError(f"a known {kind}", repr(name), fix)
