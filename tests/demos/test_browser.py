"""The page in a real browser: Debian's chromium (or Chrome), with a microphone that plays our example clip."""

import io
import re
import shutil
from urllib.parse import urlparse

import numpy as np
import pytest
import soundfile
import soxr
from PIL import Image
from playwright.sync_api import expect, sync_playwright

expect.set_options(timeout=60_000)  # the machine may be busy

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here; `.ci/run` installs it")
WAIT_MS = 30000


@pytest.fixture(scope="module")
def browser(speech, tmp_path_factory):
    microphone = tmp_path_factory.mktemp("microphone") / "voice.wav"
    samples, rate = soundfile.read(speech)
    soundfile.write(microphone, soxr.resample(samples, rate, 48000), 48000)
    flags = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*flags, f"--use-file-for-fake-audio-capture={microphone}"]
        )
        yield found
        found.close()


@pytest.fixture
def visit(browser, server):
    """Function that opens the page and waits for the model; every address it asks for is kept in `page.asked`."""
    contexts, pages = [], []

    def visit(**options):
        context = browser.new_context(permissions=["microphone"], **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        pages.append(page)
        page.asked, page.faults = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("response", lambda response: response.status >= 400 and page.faults.append(response.url))
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("console", lambda line: "Content Security Policy" in line.text and page.faults.append(line.text))
        page.goto(server.url)
        page.get_by_text("Ready. Checkpoint starter").wait_for()
        return page

    yield visit
    for page in pages:
        assert len(page.asked) > 30
        assert not [url for url in page.asked if not inside(url)], "a request left this machine"
        assert not page.faults
    for context in contexts:
        context.close()


def face(page):
    return page.get_by_alt_text("The face drawn from the voice")


def inside(url):
    return urlparse(url).scheme in ("data", "blob") or urlparse(url).hostname == "127.0.0.1"


def send(page, path):
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Upload a file").click()
    chooser.value.set_files(path)


@pytest.mark.slow
def test_upload_see_and_download(visit, speech):
    page = visit(viewport={"width": 1200, "height": 900})
    expect(page.get_by_role("button", name="Upload a file")).to_be_disabled()  # first the box
    expect(page.get_by_role("button", name="Record", exact=True)).to_have_count(0)
    page.get_by_label("It is my own voice").check()
    send(page, speech)
    face(page).wait_for()
    expect(page.get_by_alt_text("The same face redrawn as a cartoon")).to_be_visible()
    expect(page.get_by_alt_text("The sound as the model got it")).to_be_visible()
    words = page.get_by_text("its first 6 s were heard. An average-looking guess, not the speaker.")
    expect(words).to_contain_text("Checkpoint starter (")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").first.click()
    assert download.value.suggested_filename == "s2f_face.png"
    with Image.open(download.value.path()) as image:
        assert image.text["ai_generated"] == "true"
        assert image.size == (224, 224)


@pytest.mark.slow
def test_record_on_a_phone(visit, server):
    page = visit(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True, device_scale_factor=2)
    page.get_by_label("It is my own voice").check()
    page.get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(3500)
    page.get_by_role("button", name="Stop").first.click()
    face(page).wait_for()
    expect(page.get_by_text(re.compile(r"A clip of [345]\.\d s: all of it was heard\."))).to_be_visible()
    recorded = [path for path in server.files.root.rglob("audio*.wav") if path.stat().st_size > 1e5]
    assert recorded
    samples, _ = soundfile.read(recorded[0])
    assert np.abs(samples).max() > 0.05  # it is the clip, not silence
    for tab in ("Guess", "Photo", "Voice"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab


@pytest.mark.slow
def test_a_refusal_is_a_sentence_and_takes_the_old_answer_away(visit, tmp_path):
    page = visit()
    page.get_by_role("button", name="Example: woman").click()
    face(page).wait_for()
    page.get_by_label("It is my own voice").check()
    html = tmp_path / "<img src=data:, onerror=document.title='bad'>.wav"
    html.write_text("<script>document.title='bad'</script>")
    send(page, html)
    expect(page.get_by_text("which is not audio or is damaged; play it in a media player")).to_be_visible()
    expect(face(page)).to_have_count(0)
    expect(page.get_by_text("An average-looking guess, not the speaker.")).to_have_count(0)
    assert page.title() == "s2f: hear a voice, see a face"
    page.get_by_role("button", name="Example: man", exact=True).click()
    face(page).wait_for()
    with html.open("wb") as file:
        file.truncate(10**9)
    send(page, html)
    expect(page.get_by_text("exceed the maximum allowed size of 20.0 Mb")).to_be_visible()
    assert page.title() == "s2f: hear a voice, see a face"


@pytest.mark.slow
def test_guessing_with_the_keyboard(visit):
    page = visit()
    page.get_by_role("tab", name="Guess").focus()
    page.keyboard.press("Enter")
    pictures = page.get_by_alt_text(re.compile(r"^Face \d+$"))
    expect(pictures).to_have_count(4)
    expect(page.get_by_role("radio")).to_have_count(4)  # they come after the pictures
    page.get_by_label("Face 2", exact=True).focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="That one").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text(re.compile(r"^(You are right|It was face)"))).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(5)
    page.get_by_role("spinbutton", name=re.compile("Faces to choose from")).fill("10")
    page.get_by_role("button", name="New question").focus()
    page.keyboard.press("Enter")
    expect(pictures).to_have_count(10)
    expect(page.get_by_label("Face 10", exact=True)).not_to_be_checked()
    expect(page.get_by_role("row")).to_have_count(0)  # the old answer is gone


@pytest.mark.slow
def test_a_photo_and_what_is_kept_of_it(visit, server):
    page = visit()
    page.get_by_label("It is my own voice or photo").check()
    page.get_by_role("tab", name="Photo").click()
    page.locator("input[type=file]").nth(-1).set_input_files(server.engine.cast[1].face)
    expect(page.get_by_text("have a cosine of 0.")).to_be_visible()
    source = page.get_by_alt_text("The canonical face drawn from the photo's feature").get_attribute("src")
    drawn = np.asarray(Image.open(io.BytesIO(page.request.get(source).body())))
    assert drawn.shape == (224, 224, 3)
