"""What the page says in words, and small pieces of HTML; everything a visitor may have named is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from demos.background_model import Engine
from demos.guess_game import Member, Outcome
from demos.limits import LONGEST_S, MOST_CLIP_S, MOST_CLIPS, MOST_FILE_MB
from s2f.audio import MIN_SECONDS
from s2f.version import __version__

if TYPE_CHECKING:
    from demos.model import PhotoAnswer, VoiceAnswer

TITLE = "s2f: hear a voice, see a face"
WHAT_IT_IS = (
    "A model listens to a voice and draws a face that would not be surprising with it. **It does not know who is "
    "speaking and does not show what they look like:** a voice tells about gender and age and, weakly, a few "
    "proportions, so what you see is an average-looking guess."
)
STARTER = (
    "The starter model learned from real voices paired with synthetic people, so it says nothing about real faces."
)
ASK_FIRST = "Record or upload your own voice or photo, or somebody else's only if they have agreed."
CONSENT = "It is my own voice or photo, or that of somebody who has agreed."
ASK_CONSENT = "Tick the box at the top to record or upload (webm, m4a, mp3, wav, flac, ogg); examples work without it."
LOADING = "The model is loading; you can look around and choose a clip meanwhile."
SOUND = "The sound as the model got it: waveform above, spectrogram below; what was not heard is greyed out."

CSS = """
.gradio-container{max-width:min(70rem,100vw)!important;margin:0 auto!important}
.gradio-container .main{max-width:100%;min-width:0;box-sizing:border-box}
.dim{color:var(--body-text-color-subdued);font-size:.9em}
.scores{border-collapse:collapse;width:100%}
.scores :is(td,th){padding:.35em .6em!important;text-align:left;border:0!important}
.scores td{border-top:1px solid var(--border-color-primary)!important}
.bar{display:inline-block;height:.7em;border-radius:2px;background:var(--color-accent);vertical-align:middle}
:focus-visible{outline:3px solid var(--color-accent)!important;outline-offset:2px}
"""


def what_it_is(engine: Engine) -> str:
    """One paragraph of what the page is and is not, and whose voice may be used."""
    return " ".join([WHAT_IT_IS, *([STARTER] if engine.is_starter else []), ASK_FIRST])


def privacy(keep_s: float) -> str:
    """What happens to a visitor's files, what the limits are, and how a program asks."""
    kept = f"{keep_s / 60:g} minutes" if keep_s >= 60 else f"{keep_s:g} seconds"
    return f"""
**Your files** stay on the machine that runs this page. They are deleted {kept} after they were last used, and when it
stops. Nothing is sent anywhere else, there are no analytics, and no real person is looked up or matched.

**Limits.** A file of at most {MOST_FILE_MB} MB; a clip of {MIN_SECONDS:g} s to {MOST_CLIP_S:g} s, of which up to
{LONGEST_S:g} s are heard; up to {MOST_CLIPS} clips of a speaker. Browsers open the microphone only on `localhost` and
on `https` pages.

**Faces** are PNG files whose text says that they are generated, by which checkpoint and with which seed.

**From a program** (`pip install gradio_client`):
```python
from gradio_client import Client, handle_file
client = Client("http://127.0.0.1:7860")  # the address of this page
answer = client.predict(handle_file("voice.wav"), [], 6, 0, 0, api_name="/reconstruct")
face, cartoon, sound, variants, words, facts = answer
```
The link "Use via API" below lists every endpoint; `GET /health` says whether the model is ready.

s2f {__version__}
"""


def status(engine: Engine) -> str:
    """One line on the model, when it is loaded.

    Raises:
        S2fError: it could not be loaded.
    """
    about, size = engine.provenance, engine.model.pipeline.decoder.image_size_px
    text = f"Ready. Checkpoint {about.checkpoint}, weights {about.checkpoint_sha256}, pictures of {size} px."
    return f'<p class="dim">{escape(text)}</p>'


def voice_words(answer: VoiceAnswer, engine: Engine, seed: int) -> str:
    """What the drawn face is, and everything that was changed."""
    about = engine.provenance
    checkpoint = f"Checkpoint {about.checkpoint} ({about.checkpoint_sha256}), seed {seed}."
    guess = "An average-looking guess, not the speaker."
    return _paragraph(f"{answer.sentence} {guess} {checkpoint}") + _list(answer.warnings)


def photo_words(answer: PhotoAnswer, engine: Engine) -> str:
    """How much of the photo is left."""
    kept = (
        f"The photo's feature and that of the drawn face have a cosine of {answer.cosine:.2f} (1 would be all of it): "
        "what the decoder lost, a voice cannot bring back."
    )
    return _paragraph(f"{kept} Checkpoint {engine.provenance.checkpoint}.") + _list(answer.warnings)


def outcome_words(outcome: Outcome, shown: Sequence[Member]) -> str:
    """The answer to a question, with the model's scores, and how everybody is doing."""
    verdict = "You are right." if outcome.guess == outcome.answer else f"It was face {outcome.answer + 1}."
    model = "The model is right too." if outcome.guess == outcome.answer else "The model is right."
    if outcome.model != outcome.answer:
        model = f"The model would have chosen face {outcome.model + 1}."
    rows = "".join(_row(place, score, outcome, shown[place]) for place, score in enumerate(outcome.scores))
    faces = len(outcome.scores)
    tally = (
        f"So far: you {outcome.tally.you} of {outcome.tally.asked}, the model {outcome.tally.model}, by chance "
        f"{outcome.tally.by_chance:.2f}. Over all questions of {faces} faces that these people allow, the model is "
        f"right in {100 * outcome.accuracy:.0f} % (chance {100 / faces:.0f} %)."
    )
    names = ("face", "the model's score", "the face is a", "whose")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    table = f'<table class="scores"><caption>What the model says</caption><tr>{head}</tr>{rows}</table>'
    return _paragraph(f"{verdict} {model}") + table + _paragraph(tally)


def _row(place: int, score: float, outcome: Outcome, member: Member) -> str:
    marks = {"the voice's": outcome.answer, "your guess": outcome.guess, "the model's choice": outcome.model}
    named = ", ".join(mark for mark, at in marks.items() if at == place)
    bar = f'<span class="bar" style="width:{6 * max(score, 0):.2f}em"></span> {score:.2f}'
    person = f"{'woman' if member.gender == 'f' else 'man'}, {member.age_years:.0f}"
    if member.age_years < 16:
        person = f"{'girl' if member.gender == 'f' else 'boy'}, {member.age_years:.0f}"
    return f"<tr><td>{place + 1}</td><td>{bar}</td><td>{person}</td><td>{named}</td></tr>"


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _list(sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f'<ul class="dim">{items}</ul>' if items else ""
