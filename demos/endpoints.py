"""The endpoints: from visitors' files and numbers to files and words; every refusal is one sentence."""

from __future__ import annotations

import functools
import logging
import secrets
from collections.abc import Callable
from dataclasses import asdict, replace
from html import escape
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from demos import texts
from demos.background_model import Engine
from demos.guess_game import Member, Question, Tally, draw_question, settle
from demos.limits import SEEDS
from demos.visitor_files import VisitorFiles
from s2f.checkpoints.provenance import FACE_NOTE, CartoonProvenance, save_png, save_samples
from s2f.errors import ImageError, S2fError, UsageError
from s2f.runtime.files import write_bytes

P = ParamSpec("P")
R = TypeVar("R")


def sentence(work: Callable[P, R]) -> Callable[P, R]:
    """Show an error of s2f as the sentence it is; anything else is written to the server's log and not shown."""

    @functools.wraps(work)
    def answer(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return work(*args, **kwargs)
        except S2fError as error:
            text = " ".join(escape(str(error), quote=False).split())
            raise gr.Error(text, duration=None, print_exception=False) from error
        except Exception as error:
            logging.getLogger(__name__).exception("an answer failed")
            text = "expected an answer, got a fault of this server; try again, or tell whoever runs it"
            raise gr.Error(text, duration=None, print_exception=False) from error

    return answer


class Answers:
    """The endpoints, as functions from files and numbers to files and words.

    Args:
        engine: the model.
        files: where answers are written.
    """

    def __init__(self, engine: Engine, files: VisitorFiles) -> None:
        self._engine, self._files = engine, files

    @sentence
    def reconstruct(
        self, clip: str | None, more: list[str] | None, seconds: object, samples: object, seed: object
    ) -> tuple[str, str, str, list[tuple[str, str]], str, dict[str, Any]]:
        """Face, cartoon, picture of the sound, variants with captions, words and facts of a voice."""
        clips = [*([clip] if clip else []), *(more or [])]
        number, heard_s = _whole(seed, "the seed"), _number(seconds, "the seconds")
        answer = self._engine.model.hear(clips, heard_s, _whole(samples, "the variants"), number)
        folder, about = self._files.new_folder(), replace(self._engine.provenance, seed=number)
        face, cartoon, heard = (folder / f"{name}.png" for name in ("s2f_face", "s2f_cartoon", "s2f_sound"))
        save_png(answer.face, face, about)
        save_png(answer.cartoon, cartoon, CartoonProvenance(about.checkpoint, about.checkpoint_sha256, about.seed))
        write_bytes(heard, answer.heard)
        variants = [folder / f"s2f_variant_{place}.png" for place in range(1, len(answer.samples) + 1)]
        save_samples(answer.samples, variants, number, about)
        shown = [(str(path), f"variant {place}") for place, path in enumerate(variants, start=1)]
        facts = {
            "checkpoint": about.checkpoint,
            "checkpoint_sha256": about.checkpoint_sha256,
            "seed": number,
            "seconds": heard_s,
            "clips": len(clips),
            "heard": answer.sentence,
            "warnings": answer.warnings,
        }
        words = texts.voice_words(answer, self._engine, number)
        return str(face), str(cartoon), str(heard), shown, words, facts

    @sentence
    def status(self) -> str:
        """One line on the model, when it is loaded."""
        return texts.status(self._engine)

    @sentence
    def example(self, member: Member) -> tuple[str, None]:
        """A copy of a simulated person's voice, and nothing beside it."""
        return self._copied(member), None

    def _copied(self, member: Member) -> str:
        """A copy of a simulated person's voice among the visitors' files; its name does not tell whose."""
        copy = self._files.new_folder() / f"voice{member.voice.suffix}"
        copy.write_bytes(member.voice.read_bytes())
        return str(copy)

    @sentence
    def face_to_face(self, photo: str | None) -> tuple[str | None, str | None, str]:
        """The part of a photo that was looked at, the face drawn from its feature, and words."""
        if photo is None:
            raise ImageError("a photo of one face", "none", "upload one first")
        answer = self._engine.model.see(Path(photo).read_bytes())
        folder = self._files.new_folder()
        crop, face = folder / "crop.png", folder / "s2f_face_from_photo.png"
        answer.crop.save(crop)
        save_png(answer.face, face, replace(self._engine.provenance, note=FACE_NOTE))
        return str(crop), str(face), texts.photo_words(answer, self._engine)

    @sentence
    def question(self, faces: object) -> tuple[str, list[tuple[str, str]], Question]:
        """A voice, faces with captions, and the question itself, which stays on the server."""
        cast = self._engine.cast
        question = draw_question(len(cast), _whole(faces, "the faces"), secrets.randbelow(SEEDS))
        folder, shown = self._files.new_folder(), []
        for place, number in enumerate(question.faces, start=1):
            cast[number].picture().save(picture := folder / f"face_{place}.png")
            shown.append((str(picture), f"Face {place}"))
        return self._copied(cast[question.voice]), shown, question

    @sentence
    def guess(self, choice: object, question: Question | None, tally: Tally) -> tuple[str, dict[str, Any], None, Tally]:
        """Words and facts about a guess; the question is closed, the tally goes on."""
        if question is None:
            raise UsageError("a question that is open", "none", "ask for a new one")
        outcome = settle(question, _whole(choice, "the face"), *self._engine.scores, tally)
        shown = [self._engine.cast[number] for number in question.faces]
        places = {name: getattr(outcome, name) + 1 for name in ("answer", "guess", "model")}
        facts = {**asdict(outcome), **places, "seed": question.seed, "chance": 1 / len(shown)}
        return texts.outcome_words(outcome, shown), facts, None, outcome.tally


def _number(value: object, name: str) -> float:
    """A number as a visitor sent it.

    Raises:
        UsageError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        got = "none" if value is None else "something else"
        raise UsageError(f"a number as {name}", got, "fill it in")
    return value


def _whole(value: object, name: str) -> int:
    """A whole number as a visitor sent it.

    Raises:
        UsageError: it is none.
    """
    number = _number(value, name)
    if isinstance(number, float) and not number.is_integer():
        raise UsageError(f"a whole number as {name}", f"{number:g}", "round it")
    return int(number)
