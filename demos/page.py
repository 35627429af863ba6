"""The page: three tabs, and the named endpoints behind them."""

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
from demos.cast import Member, Question, draw_question
from demos.engine import Engine
from demos.limits import FEWEST_FACES, LONGEST_S, MOST_FACES, MOST_SAMPLES, MOST_WAITING, SEEDS, SHORTEST_S
from demos.outcome import Tally, settle
from demos.uploads import as_they_came, guard
from demos.visitor_files import VisitorFiles
from s2f.errors import ImageError, S2fError
from s2f.files import write_bytes
from s2f.provenance import FACE_NOTE, CartoonProvenance, save_png, save_samples

P = ParamSpec("P")
R = TypeVar("R")
EXAMPLES = ("f", 18, 60), ("m", 18, 60), ("f", 0, 12), ("m", 60, 120)  # gender, from and below which age
AUDIO_TYPES = ["audio", ".webm", ".m4a", ".ogg", ".opus", ".flac", ".mp3", ".wav", ".aac", ".mp4"]
ONE_AT_A_TIME: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}


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
        self, clip: str | None, more: list[str] | None, seconds: float, samples: float, seed: float
    ) -> tuple[str, str, str, list[tuple[str, str]], str, dict[str, Any]]:
        """Face, cartoon, picture of the sound, variants with captions, words and facts of a voice."""
        clips = [*([clip] if clip else []), *(more or [])]
        answer = self._engine.model.hear(clips, seconds, int(samples), int(seed))
        folder, about = self._files.new_folder(), replace(self._engine.provenance, seed=int(seed))
        face, cartoon, heard = (folder / f"{name}.png" for name in ("s2f_face", "s2f_cartoon", "s2f_sound"))
        save_png(answer.face, face, about)
        save_png(answer.cartoon, cartoon, CartoonProvenance(about.checkpoint, about.checkpoint_sha256, about.seed))
        write_bytes(heard, answer.heard)
        variants = [folder / f"s2f_variant_{number}.png" for number in range(1, len(answer.samples) + 1)]
        save_samples(answer.samples, variants, int(seed), about)
        shown = [(str(path), f"variant {number}") for number, path in enumerate(variants, start=1)]
        facts = {
            "checkpoint": about.checkpoint,
            "checkpoint_sha256": about.checkpoint_sha256,
            "seed": int(seed),
            "seconds": seconds,
            "clips": len(clips),
            "heard": answer.sentence,
            "warnings": answer.warnings,
        }
        words = texts.voice_words(answer, self._engine, int(seed))
        return str(face), str(cartoon), str(heard), shown, words, facts

    def example(self, member: Member) -> str:
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
    def question(self, faces: float) -> tuple[str, list[tuple[str, str]], Question]:
        """A voice, faces with captions, and the question itself, which stays on the server."""
        cast = self._engine.cast
        question = draw_question(len(cast), int(faces), secrets.randbelow(SEEDS))
        folder, shown = self._files.new_folder(), []
        for place, number in enumerate(question.faces, start=1):
            cast[number].picture().save(picture := folder / f"face_{place}.png")
            shown.append((str(picture), f"Face {place}"))
        return self.example(cast[question.voice]), shown, question

    @sentence
    def guess(
        self, choice: float | None, question: Question | None, tally: Tally
    ) -> tuple[str, dict[str, Any], None, Tally]:
        """Words and facts about a guess; the question is closed, the tally goes on."""
        outcome = settle(question, int(choice or 0), *self._engine.scores, tally)
        assert question is not None, "settled without a question"
        shown = [self._engine.cast[number] for number in question.faces]
        places = {name: getattr(outcome, name) + 1 for name in ("answer", "guess", "model")}
        facts = {**asdict(outcome), **places, "seed": question.seed, "chance": 1 / len(shown)}
        return texts.outcome_words(outcome, shown), facts, None, outcome.tally


def build(engine: Engine, files: VisitorFiles) -> gr.Blocks:
    """Lay out the page.

    Args:
        engine: the model; it may still be loading.
        files: where answers are written.

    Returns:
        The page, not yet served.
    """
    answers = Answers(engine, files)
    with gr.Blocks(title=texts.TITLE, analytics_enabled=False) as page:
        gr.Markdown(f"# {texts.TITLE}\n\n{texts.what_it_is(engine)}")
        consent = gr.Checkbox(label=texts.CONSENT)
        status = gr.HTML(f'<p class="dim" role="status">{texts.LOADING}</p>')
        with gr.Tab("Voice"):
            inputs, hint = _voice_tab(answers, engine.cast)
        with gr.Tab("Photo"):
            photo = _photo_tab(answers)
        with gr.Tab("Guess"):
            _guess_tab(answers, page)
        with gr.Accordion("Privacy, limits, use from a program", open=False):
            gr.Markdown(texts.privacy(files.keep_s))
        allowed = [*inputs, photo]
        consent.change(
            lambda agreed: [*[gr.update(interactive=agreed)] * len(allowed), gr.update(visible=not agreed)],
            consent,
            [*allowed, hint],
            queue=False,
            api_visibility="private",
        )
        page.load(functools.partial(texts.status, engine), None, status, queue=False, api_visibility="private")
    guard(page, files.root)
    page.queue(max_size=MOST_WAITING, default_concurrency_limit=1)
    return page


def _voice_tab(answers: Answers, cast: list[Member]) -> tuple[list[gr.components.Component], gr.HTML]:
    """Build the first tab; returns what needs consent, and the hint that it does."""
    with gr.Row():
        with gr.Column():
            clip = as_they_came(
                gr.Audio(
                    sources=["microphone", "upload"], type="filepath", label="A voice", interactive=False, buttons=[]
                )
            )
            hint = gr.HTML(f'<p class="dim">{texts.ASK_CONSENT}</p>')
            with gr.Row():
                buttons = [(gr.Button(label, size="sm", min_width=120), member) for label, member in _examples(cast)]
            with gr.Accordion("More clips of the same speaker", open=False):
                more = as_they_came(
                    gr.File(
                        file_count="multiple",
                        file_types=AUDIO_TYPES,
                        label="Their features are averaged with that of the clip above",
                        interactive=False,
                    )
                )
            seconds = gr.Slider(SHORTEST_S, LONGEST_S, 6, step=0.5, label="Seconds heard of each clip")
            with gr.Accordion("Variants", open=False):
                samples = gr.Slider(
                    0, MOST_SAMPLES, 0, step=1, label="How many", info="Draws of what the voice does not determine"
                )
                seed = gr.Number(0, label="Seed", precision=0, minimum=0)
            draw = gr.Button("Draw the face", variant="primary")
        with gr.Column():
            with gr.Row():
                face = _picture("Face", "The face drawn from the voice: an average-looking guess", download=True)
                cartoon = _picture("As a cartoon", "The same face redrawn as a cartoon", download=True)
            words = gr.HTML(label="Words")
            sound = gr.Image(
                label="Sound",
                show_label=False,
                alt_text=texts.SOUND,
                type="filepath",
                interactive=False,
                buttons=["fullscreen"],
            )
            variants = gr.Gallery(
                label="Variants", columns=4, height="auto", interactive=False, buttons=["download"], visible=False
            )
            with gr.Accordion("Details", open=False):
                facts = gr.JSON(label="Facts", show_label=False)
    inputs, outputs = [clip, more, seconds, samples, seed], [face, cartoon, sound, variants, words, facts]
    drawn = gr.on(
        [draw.click, clip.upload, clip.stop_recording],
        answers.reconstruct,
        inputs,
        outputs,
        api_name="reconstruct",
        api_description="Draw a face from 1 to 5 clips of one speaker: face, cartoon, picture of the sound, variants, "
        "words (HTML) and facts (checkpoint, seed, warnings).",
        show_progress_on=[face, cartoon],
        scroll_to_output=True,
        **ONE_AT_A_TIME,
    )
    _cleared_by_failure(drawn, outputs)
    samples.change(lambda count: gr.update(visible=count > 0), samples, variants, queue=False, api_visibility="private")
    for button, member in buttons:
        chosen = button.click(
            functools.partial(answers.example, member), None, clip, queue=False, api_visibility="private"
        )
        chosen.then(
            answers.reconstruct,
            inputs,
            outputs,
            api_visibility="private",
            show_progress_on=[face, cartoon],
            scroll_to_output=True,
            **ONE_AT_A_TIME,
        )
    return [clip, more], hint


def _photo_tab(answers: Answers) -> gr.components.Component:
    """Build the second tab; returns what needs consent."""
    gr.Markdown(
        "**Face to face:** a photo's feature, decoded. It shows what the decoder can keep of a face: the best that any "
        "voice could reach."
    )
    with gr.Row():
        photo = as_they_came(
            gr.Image(
                sources=["upload", "webcam"],
                type="filepath",
                label="A photo of one face",
                interactive=False,
                buttons=[],
            )
        )
        crop = _picture("What the model looks at", "The part of the photo that the model looks at")
        face = _picture("Drawn from its feature", "The canonical face drawn from the photo's feature", download=True)
    draw = gr.Button("Draw the face", variant="primary")
    words = gr.HTML(label="Words")
    drawn = gr.on(
        [draw.click, photo.upload],
        answers.face_to_face,
        photo,
        [crop, face, words],
        api_name="face_to_face",
        api_description="Draw the canonical face of a photo with one face: the part looked at, the face, words (HTML).",
        show_progress_on=[crop, face],
        **ONE_AT_A_TIME,
    )
    _cleared_by_failure(drawn, [crop, face, words])
    return photo


def _guess_tab(answers: Answers, page: gr.Blocks) -> None:
    gr.Markdown(
        "**Guess the face:** listen, then choose. **Everybody here is simulated:** the faces are computer-drawn, the "
        "voices come from a speech synthesiser, and what they share was planted. Real people are never matched here."
    )
    question, tally = gr.State(None), gr.State(Tally())
    with gr.Row():
        with gr.Column():
            faces = gr.Slider(FEWEST_FACES, MOST_FACES, 4, step=1, label="Faces to choose from")
            ask = gr.Button("New question")
            voice = gr.Audio(label="Whose voice is this?", interactive=False, buttons=[])
        with gr.Column():
            shown = gr.Gallery(label="Faces", columns=3, height="auto", interactive=False, buttons=[])
            choice = gr.Radio([(f"Face {n}", n) for n in range(1, MOST_FACES + 1)], label="Your guess")
            answer = gr.Button("That one", variant="primary")
            words = gr.HTML(label="Words")
    with gr.Accordion("Details", open=False):
        facts = gr.JSON(label="Facts", show_label=False)
    asked = gr.on(
        [ask.click, page.load],
        answers.question,
        faces,
        [voice, shown, question],
        api_name="question",
        api_description="Draw a question: a voice and so many faces. The same client then calls /guess.",
    )
    asked.then(
        lambda asked: (
            gr.update(choices=[(f"Face {n + 1}", n + 1) for n in range(len(asked.faces))], value=None),
            "",
            None,
        ),
        question,
        [choice, words, facts],
        queue=False,
        api_visibility="private",
    )
    answer.click(
        answers.guess,
        [choice, question, tally],
        [words, facts, question, tally],
        api_name="guess",
        api_description="Answer the open question with the number of a face, from 1: words (HTML) and facts.",
        **ONE_AT_A_TIME,
    )


def _cleared_by_failure(event: Any, outputs: list[gr.components.Component]) -> None:
    """Take away what an earlier answer left, so that a refusal does not stand beside it."""
    event.failure(lambda: [None] * len(outputs), None, outputs, queue=False, api_visibility="private")


def _picture(label: str, alt: str, download: bool = False) -> gr.Image:
    buttons: list[Any] = ["download", "fullscreen"] if download else ["fullscreen"]
    return gr.Image(label=label, alt_text=alt, type="filepath", interactive=False, buttons=buttons)


def _examples(cast: list[Member]) -> list[tuple[str, Member]]:
    """A few voices of the cast with what their buttons say."""
    found = []
    for gender, least, below in EXAMPLES:
        member = next(m for m in cast if m.gender == gender and least <= m.age_years < below)
        kind = {"f": "woman", "m": "man"}[gender] if least >= 18 else {"f": "girl", "m": "boy"}[gender]
        found.append((f"Example: {'older ' if least >= 60 else ''}{kind}", member))
    return found
