"""The page: three tabs, and the named endpoints behind them."""

from __future__ import annotations

import functools
from typing import Any

import gradio as gr

from demos import texts
from demos.background_model import Engine
from demos.endpoints import Answers
from demos.guess_game import Member, Tally
from demos.limits import FEWEST_FACES, LONGEST_S, MOST_FACES, MOST_SAMPLES, MOST_SESSIONS, MOST_WAITING, SHORTEST_S
from demos.visitor_files import VisitorFiles, guard

EXAMPLES = ("f", 18, 60), ("m", 18, 60), ("f", 0, 12), ("m", 60, 120)  # gender, from and below which age
AUDIO_TYPES = ["audio", ".webm", ".m4a", ".ogg", ".opus", ".flac", ".mp3", ".wav", ".aac", ".mp4"]
PRIVATE: dict[str, Any] = {"queue": False, "api_visibility": "private"}
ONE_AT_A_TIME: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}


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
        status = gr.HTML(f'<p class="dim">{texts.LOADING}</p>', elem_classes="live")
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
            **PRIVATE,
        )
        page.load(answers.status, None, status, **PRIVATE)
    guard(page, files)
    page.state_session_capacity = MOST_SESSIONS
    page.queue(max_size=MOST_WAITING, default_concurrency_limit=1, api_open=False)  # else /run/… goes past the queue
    return page


def _voice_tab(answers: Answers, cast: list[Member]) -> tuple[list[gr.components.Component], gr.HTML]:
    """Build the first tab; returns what needs consent, and the hint that it does."""
    with gr.Row():
        with gr.Column():
            clip = gr.Audio(sources=["microphone"], type="filepath", label="A voice", interactive=False, buttons=[])
            upload = gr.UploadButton("Upload a file", file_types=AUDIO_TYPES, interactive=False)
            hint = gr.HTML(f'<p class="dim">{texts.ASK_CONSENT}</p>')
            with gr.Row():
                buttons = [(gr.Button(label, size="sm", min_width=120), member) for label, member in _examples(cast)]
            with gr.Accordion("More clips of the same speaker", open=False):
                more = gr.File(
                    file_count="multiple",
                    file_types=AUDIO_TYPES,
                    label="Their features are averaged with that of the clip above",
                    interactive=False,
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
            words = gr.HTML(label="Words", elem_classes="live")
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
    shown: dict[str, Any] = {"show_progress_on": [face, cartoon], "scroll_to_output": True, **ONE_AT_A_TIME}
    drawn = gr.on(
        [draw.click, clip.stop_recording],
        answers.reconstruct,
        inputs,
        outputs,
        api_name="reconstruct",
        api_description="Draw a face from 1 to 5 clips of one speaker: face, cartoon, picture of the sound, variants, "
        "words (HTML) and facts (checkpoint, seed, warnings).",
        **shown,
    )
    _cleared_by_failure(drawn, outputs)
    chosen = [
        button.click(functools.partial(answers.example, member), None, [clip, more], **PRIVATE)
        for button, member in buttons
    ]
    chosen.append(upload.upload(lambda path: path, upload, clip, **PRIVATE))
    for choice in chosen:
        follows = choice.success(answers.reconstruct, inputs, outputs, api_visibility="private", **shown)
        _cleared_by_failure(follows, outputs)
    samples.change(lambda count: gr.update(visible=bool(count)), samples, variants, **PRIVATE)
    return [clip, upload, more], hint


def _photo_tab(answers: Answers) -> gr.components.Component:
    """Build the second tab; returns what needs consent."""
    gr.Markdown(
        "**Face to face:** a photo's feature, decoded. It shows what the decoder can keep of a face: the best that any "
        "voice could reach."
    )
    with gr.Row():
        photo = gr.Image(
            sources=["upload", "webcam"],
            type="filepath",
            label="A photo of one face",
            interactive=False,
            buttons=[],
        )
        crop = _picture("What the model looks at", "The part of the photo that the model looks at")
        face = _picture("Drawn from its feature", "The canonical face drawn from the photo's feature", download=True)
    draw = gr.Button("Draw the face", variant="primary")
    words = gr.HTML(label="Words", elem_classes="live")
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
            words = gr.HTML(label="Words", elem_classes="live")
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
    asked.success(
        lambda asked: (
            gr.update(choices=[(f"Face {n + 1}", n + 1) for n in range(len(asked.faces))], value=None),
            "",
            None,
        ),
        question,
        [choice, words, facts],
        **PRIVATE,
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
    event.failure(lambda: [None] * len(outputs), None, outputs, **PRIVATE)


def _picture(label: str, alt: str, download: bool = False) -> gr.Image:
    buttons: list[Any] = ["download", "fullscreen"] if download else ["fullscreen"]
    return gr.Image(label=label, alt_text=alt, type="filepath", interactive=False, buttons=buttons)


def _examples(cast: list[Member]) -> list[tuple[str, Member]]:
    """A few voices of the cast with what their buttons say."""
    found = []
    for gender, least, below in EXAMPLES:
        member = next(m for m in cast if m.voice_gender == gender and least <= m.voice_age_years < below)
        kind = {"f": "woman", "m": "man"}[gender] if least >= 18 else {"f": "girl", "m": "boy"}[gender]
        found.append((f"Example: {'older ' if least >= 60 else ''}{kind}", member))
    return found
