"""Every endpoint through gradio_client and plain HTTP: right answers, a sentence for every fault, nothing let in."""

import json
import socket
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
import torch
from gradio_client import Client, handle_file
from PIL import Image

import s2f
from demos.limits import MOST_CLIPS
from s2f import Speech2FacePipeline
from s2f.checkpoints.provenance import FACE_NOTE, NOTE, weights_sha256
from tests import CHECKOUT

RATE = 16000
PEOPLE = CHECKOUT / "demos" / "simulated_people"
NOT_AUDIO = "expected an audio file such as wav, flac, mp3, ogg, m4a or webm, got this file, which is not audio"


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    return Client(server.url, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


@pytest.fixture(scope="module")
def starter():
    return Speech2FacePipeline.from_pretrained("starter")


def ask(client, *words, api="/reconstruct"):
    return client.predict(*words, api_name=api)


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def refusal(client, *words, api="/reconstruct"):
    """The sentence with which the endpoint refuses; nothing of the machine is in it."""
    with pytest.raises(Exception) as caught:  # noqa: PT011, the client has no public type for it
        ask(client, *words, api=api)
    sentence = str(caught.value)
    assert "Traceback" not in sentence
    assert "/tmp" not in sentence
    assert "\n" not in sentence
    return sentence


# --- right answers ----------------------------------------------------------------------------------------------------


def test_reconstruct_is_the_pipeline(client, starter, speech):
    face, cartoon, sound, variants, words, facts = ask(client, handle_file(speech), [], 6, 2, 7)
    out = starter(str(speech), samples=2, generator=torch.Generator().manual_seed(7))
    assert np.abs(pixels(face) - np.asarray(out.images[0])).max() <= 1
    for shown, expected in zip(variants, out.samples[0], strict=True):
        assert np.abs(pixels(shown["image"]) - np.asarray(expected)).max() <= 1
    assert pixels(cartoon).shape == (224, 224, 3)
    assert pixels(sound).shape[1] > 700
    assert "A clip of 6.9 s: its first 6 s were heard." in words
    sha = weights_sha256(CHECKOUT / "checkpoints" / "starter")
    assert facts == {
        "checkpoint": "starter",
        "checkpoint_sha256": sha,
        "seed": 7,
        "seconds": 6,
        "clips": 1,
        "heard": "A clip of 6.9 s: its first 6 s were heard.",
        "warnings": ["cut: the first 6 s of 6.88 s are used"],
    }


def test_pictures_say_what_they_are(client, speech):
    face, cartoon, _, variants, _, _ = ask(client, handle_file(speech), [], 6, 1, 3)
    texts = [Image.open(path).text for path in (face, cartoon, variants[0]["image"])]
    for text in texts:
        assert (text["ai_generated"], text["checkpoint"], text["seed"], text["note"]) == ("true", "starter", "3", NOTE)
    assert [("rendering" in text, "sample" in text) for text in texts] == [(False, False), (True, False), (False, True)]


def test_clips_of_one_speaker_are_averaged(client, starter, speech):
    clips = [speech, PEOPLE / "voices" / "id00000.flac"]
    face, *_, facts = ask(client, handle_file(clips[0]), [handle_file(clips[1])], 6, 0, 0)
    units = torch.nn.functional.normalize(starter([str(clip) for clip in clips]).face_features, dim=1)
    drawn = starter.decoder(units.mean(0, keepdim=True)).image[0].clamp(0, 1).permute(1, 2, 0).detach().numpy() * 255
    assert np.abs(pixels(face) - drawn).max() <= 1
    assert np.abs(pixels(face) - pixels(ask(client, handle_file(clips[0]), [], 6, 0, 0)[0])).max() > 10
    assert facts["clips"] == 2
    assert [note.partition(":")[0] for note in facts["warnings"]] == ["clip 1", "clip 2"]


@pytest.mark.parametrize(
    ("form", "codec"),
    [("webm", "libopus"), ("ipod", "aac"), ("mp3", "libmp3lame"), ("ogg", "libopus"), ("flac", "flac")],
)
def test_what_browsers_and_phones_record(client, starter, speech, tmp_path, form, codec):
    av = pytest.importorskip("av")
    path = tmp_path / f"clip.{'m4a' if form == 'ipod' else form}"
    with av.open(str(speech)) as source, av.open(str(path), "w", format=form) as target:
        track = target.add_stream(codec, rate=48000 if codec == "libopus" else 16000, layout="mono")
        fitted = av.AudioResampler(track.codec_context.format.name, "mono", track.codec_context.rate)
        for block in (block for frame in [*source.decode(audio=0), None] for block in fitted.resample(frame)):
            target.mux(track.encode(block))
        target.mux(track.encode(None))
    face, *_, facts = ask(client, handle_file(path), [], 6, 0, 0)
    assert facts["heard"].startswith(("A clip of 6.9 s", "A clip of 7.0 s"))
    assert np.abs(pixels(face) - np.asarray(starter(str(speech)).images[0]).astype(int)).mean() < 6


def test_a_photo_of_a_simulated_person(client):
    crop, face, words = ask(client, handle_file(PEOPLE / "canonical" / "id00001.png"), api="/face_to_face")
    assert pixels(crop).shape == pixels(face).shape == (224, 224, 3)
    dark, light = (
        pixels(ask(client, handle_file(PEOPLE / "canonical" / f"{name}.png"), api="/face_to_face")[1])[90:150, 90:134]
        for name in ("id00001", "id00006")
    )
    assert light.mean() - dark.mean() > 30  # it is drawn from the photo
    assert "have a cosine of 0." in words
    assert Image.open(face).text["note"] == FACE_NOTE
    assert "seed" not in Image.open(face).text


def test_guessing(server, client):
    cast, right = server.engine.cast, 0
    for asked in range(1, 3):
        voice, faces = ask(client, 5, api="/question")
        assert [shown["caption"] for shown in faces] == [f"Face {place}" for place in range(1, 6)]
        heard = next(m for m in cast if m.voice.read_bytes() == Path(voice).read_bytes())
        shown = [next(m for m in cast if np.array_equal(pixels(m.face), pixels(picture["image"]))) for picture in faces]
        answer = shown.index(heard) + 1
        assert "id0" not in f"{voice}{faces}"  # no name tells who it is
        guess = answer if asked < 2 else answer % 5 + 1
        right += guess == answer
        words, facts = ask(client, guess, api="/guess")
        assert (facts["answer"], facts["guess"], facts["chance"]) == (answer, guess, 0.2)
        assert facts["model"] == np.argmax(facts["scores"]) + 1
        numbers = [cast.index(member) for member in shown]
        scores = server.engine.scores.cosines[cast.index(heard), numbers]
        np.testing.assert_allclose(facts["scores"], scores)
        assert (facts["tally"]["asked"], facts["tally"]["you"]) == (asked, right)
        assert facts["tally"]["by_chance"] == pytest.approx(0.2 * asked)
        assert facts["accuracy"] == pytest.approx(server.engine.scores.accuracy[3])
        assert ("You are right." if guess == answer else f"It was face {answer}.") in words
        assert f"the model is right in {100 * facts['accuracy']:.0f} % (chance 20 %)" in words
    assert "got none; ask for a new one" in refusal(client, 1, api="/guess")


def test_visitors_do_not_share_a_question(server, client, tmp_path):
    ask(client, 2, api="/question")
    other = Client(server.url, verbose=False, download_files=tmp_path)
    assert "a question that is open" in refusal(other, 1, api="/guess")
    assert ask(client, 1, api="/guess")[1]["tally"]["asked"] >= 1


@pytest.mark.slow
def test_many_at_once_get_their_own_answers(server, starter, speech, tmp_path):
    clips = [speech, *(PEOPLE / "voices" / f"id0000{k}.flac" for k in range(3))]
    expected = [np.asarray(image) for image in starter([str(clip) for clip in clips]).images]
    found = {}

    def visit(number):
        visitor = Client(server.url, verbose=False, download_files=tmp_path / str(number))
        found[number] = pixels(ask(visitor, handle_file(clips[number % 4]), [], 6, 0, 0)[0])

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == list(range(4))
    for number, face in found.items():
        assert np.abs(face - expected[number % 4]).max() <= 1


# --- faults -----------------------------------------------------------------------------------------------------------


def test_no_clip_and_too_many(client, speech):
    assert "got none; record or upload a voice first" in refusal(client, None, [], 6, 0, 0)
    clip = handle_file(speech)
    assert f"got {MOST_CLIPS + 1}; leave some out" in refusal(client, clip, [clip] * MOST_CLIPS, 6, 0, 0)


def test_every_bad_clip_gets_a_sentence_and_the_server_lives(client, write_tone, tmp_path, speech):
    short, silent, broken = tmp_path / "short.wav", tmp_path / "silent.wav", tmp_path / "broken.flac"
    write_tone(short, 0.2)
    soundfile.write(silent, np.zeros(4 * RATE), RATE)
    content = bytearray((PEOPLE / "voices" / "id00000.flac").read_bytes())
    content[:200] = bytes(200)
    broken.write_bytes(content)
    (tmp_path / "empty.wav").touch()
    html = tmp_path / "<img src=x onerror=alert(1)>.wav"
    html.write_text("<b>hello</b>")
    long = tmp_path / "long.flac"  # half an hour in half a megabyte
    half_hour = np.tile(np.repeat(np.float32([0.3, -0.3]), 4000), 1800 * RATE // 8000)
    soundfile.write(long, half_hour, RATE, "PCM_16")
    cases = {
        tmp_path / "empty.wav": "got this file with zero bytes; record or copy the clip again",
        short: "expected a clip of at least 0.5 s, got 0.20 s; record a longer clip",
        silent: "expected a clip with speech in it, got silence",
        broken: NOT_AUDIO,
        PEOPLE / "canonical" / "id00000.png": NOT_AUDIO,
        html: NOT_AUDIO,
        long: "expected a clip of at most 300 s, got 1800 s; cut out a part with one voice",
    }
    assert long.stat().st_size < 20e6
    for path, sentence in cases.items():
        said = refusal(client, handle_file(path), [], 6, 0, 0)
        assert sentence in said
        assert path.stem not in said or path is short
        assert "<" not in said
    assert "got clip 2: 0.20 s" in refusal(client, handle_file(speech), [handle_file(short)], 6, 0, 0)
    assert ask(client, handle_file(speech), [], 6, 0, 0)[-1]["clips"] == 1


def test_every_bad_photo_gets_a_sentence(client, tmp_path, speech):
    Image.new("RGB", (300, 200), "grey").save(tmp_path / "empty.png")
    two = Image.new("RGB", (448, 224))
    for place, name in enumerate(("id00000", "id00001")):
        two.paste(Image.open(PEOPLE / "canonical" / f"{name}.png"), (224 * place, 0))
    two.save(tmp_path / "two.png")
    cases = {
        speech: "expected a picture as PNG, JPEG",
        tmp_path / "empty.png": "expected a photo with one face, got none that the detector sees",
        tmp_path / "two.png": "expected a photo with one face, got 2; crop it to one of them",
    }
    for path, sentence in cases.items():
        assert sentence in refusal(client, handle_file(path), api="/face_to_face")
    assert "got none; upload one first" in refusal(client, None, api="/face_to_face")


def test_numbers_out_of_range(client, speech):
    clip = handle_file(speech)
    assert "expected 3 to 10 seconds" in refusal(client, clip, [], 99, 0, 0)
    assert "got 6, 0 and -1; correct them" in refusal(client, clip, [], 6, 0, -1)
    assert "got 6, 5 and 0; correct them" in refusal(client, clip, [], 6, 5, 0)
    assert "expected 3 to 10 seconds" in refusal(client, clip, [], 6, 0, 2**63)
    assert "expected a whole number as the seed, got 0.5; round it" in refusal(client, clip, [], 6, 0, 0.5)
    assert "expected a number as the seconds, got none" in refusal(client, clip, [], None, 0, 0)
    assert "expected a number as the seed, got something else" in refusal(client, clip, [], 6, 0, "<b>")
    assert "expected a whole number as the variants, got 1.5; round it" in refusal(client, clip, [], 6, 1.5, 0)
    assert "expected 2 to 10 faces" in refusal(client, 1, api="/question")
    assert "expected a number as the faces, got none" in refusal(client, None, api="/question")


def test_a_guess_must_be_a_face(client):
    ask(client, 3, api="/question")
    assert "expected a face of 1 to 3, got 4" in refusal(client, 4, api="/guess")
    assert "expected a number as the face, got none" in refusal(client, None, api="/guess")
    assert ask(client, 3, api="/guess")[1]["guess"] == 3  # the question stayed open


def test_a_fault_of_ours_is_not_shown(server, client, speech, monkeypatch):
    monkeypatch.setattr(type(server.engine.model), "hear", lambda *_: 1 / 0)
    assert refusal(client, handle_file(speech), [], 6, 0, 0) == (
        "expected an answer, got a fault of this server; try again, or tell whoever runs it"
    )


# --- what may come in -------------------------------------------------------------------------------------------------


def call(server, endpoint, *words):
    """What a plain HTTP client is told: the event and its data."""
    url = f"{server.url}/gradio_api/call/{endpoint}"
    event = httpx.post(url, json={"data": list(words)}, timeout=30).json()["event_id"]
    with httpx.stream("GET", f"{url}/{event}", timeout=60) as stream:
        lines = list(stream.iter_lines())
    last = max(number for number, line in enumerate(lines) if line.startswith("event: "))
    return lines[last].removeprefix("event: "), json.loads(lines[last + 1].removeprefix("data: "))


def sent(path, **more):
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}, **more}


@pytest.fixture
def looked_up(monkeypatch):
    """Hosts that this process asks for the address of."""
    hosts, look_up = set(), socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **k: hosts.add(host) or look_up(host, *a, **k))
    yield hosts
    assert hosts <= {"127.0.0.1", b"127.0.0.1"}


def visitor_files(server):
    return {path for path in server.files.root.rglob("*") if path.is_file()}


FORMS = {
    "as Gradio marks files": lambda path: sent(path),
    "with an address beside": lambda path: sent(path, url=path),
    "as a stream": lambda path: sent(path, is_stream=True),
    "without the mark": lambda path: {"path": path},
}


@pytest.mark.parametrize(
    "form", [form if form == "with an address beside" else pytest.param(form, marks=pytest.mark.slow) for form in FORMS]
)
def test_addresses_and_paths_are_refused_at_every_component(server, tmp_path, speech, looked_up, form):
    secret = tmp_path / "secret.wav"
    secret.write_bytes(speech.read_bytes())
    before = visitor_files(server)
    for bad in (str(secret), "README.md", f"{server.files.root}/../../etc/passwd", "https://example.com/a.png"):
        file = FORMS[form](bad)
        for endpoint, words in {
            "reconstruct": (file, [], 6, 0, 0),
            "face_to_face": (file,),
            "question": (file,),
            "guess": (file,),
        }.items():
            event, data = call(server, endpoint, *words)
            assert event == "error", (bad, endpoint)
            assert str(CHECKOUT) not in json.dumps(data)
            assert str(tmp_path) not in json.dumps(data)
        assert call(server, "reconstruct", None, [file], 6, 0, 0)[0] == "error"
    assert visitor_files(server) == before


def test_only_files_of_visitors_are_served(server, client, speech, looked_up):
    ask(client, handle_file(speech), [], 6, 0, 0)
    ours = next(path for path in server.files.root.rglob("s2f_face.png"))
    assert httpx.get(f"{server.url}/gradio_api/file={ours}").content == ours.read_bytes()
    for other in ("/etc/passwd", str(CHECKOUT / "pyproject.toml"), str(ours.parent), "https://example.com/x.png"):
        answer = httpx.get(f"{server.url}/gradio_api/file={other}")
        assert (answer.status_code, "file of this visit" in answer.text) == (404, True), other
    path = f"/gradio_api/file={server.files.root}/%2e%2e/%2e%2e/etc/passwd"
    with socket.create_connection(("127.0.0.1", port(server))) as raw:  # clients tidy such paths up
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert raw.recv(20).startswith(b"HTTP/1.1 404")


OTHER_ROUTES = """gradio_api/process_recording gradio_api/component_server gradio_api/proxy=https://a.hf.space/
docs login gradio_api/vibe-code gradio_api/deep_link gradio_api/run/reconstruct gradio_api/file/etc/passwd monitoring
anything"""


@pytest.mark.parametrize("path", OTHER_ROUTES.split())
def test_other_routes_do_not_exist(server, path):
    before = visitor_files(server)
    answer = httpx.post(f"{server.url}/{path}", files={"files": ("a.wav", b"abc")})
    assert (answer.status_code, httpx.get(f"{server.url}/{path}").status_code) == (404, 404)
    assert visitor_files(server) == before


def test_nobody_goes_past_the_queue(server):
    dependencies = httpx.get(f"{server.url}/config").json()["dependencies"]
    (number,) = (entry["id"] for entry in dependencies if entry["api_name"] == "question")
    answer = httpx.post(f"{server.url}/gradio_api/run/predict", json={"data": [4], "fn_index": number})
    assert answer.status_code == 404
    assert "queue" in answer.text


@pytest.mark.parametrize(
    "name", ["../../evil.wav", "..\\..\\evil.wav", "/etc/evil.wav", "a\0b.wav", "x" * 400, "..", "."]
)
def test_names_of_uploads_stay_in_the_folder(server, name):
    evil = [path for path in Path("/etc").glob("evil*")]
    answer = httpx.post(f"{server.url}/gradio_api/upload", files={"files": (name, b"abc")})
    if answer.status_code == 200:
        (path,) = answer.json()
        assert Path(path).resolve().is_relative_to(server.files.root.resolve())
    else:
        assert answer.status_code == 400
    assert [path for path in Path("/etc").glob("evil*")] == evil


def files_bytes(server):
    return sum(path.stat().st_size for path in server.files.root.rglob("*") if path.is_file())


def test_far_too_much_is_refused_and_kept_nowhere(server, tmp_path):
    before = files_bytes(server)
    big = tmp_path / "big.wav"
    with big.open("wb") as file:
        file.truncate(2 * 10**8)
    with big.open("rb") as file:
        answer = httpx.post(f"{server.url}/gradio_api/upload", files={"files": file}, timeout=120)
    assert answer.status_code == 413
    assert answer.json()["detail"] == "expected at most 110 MB, got 200 MB; cut out a part of the clip"
    assert files_bytes(server) == before
    with big.open("wb") as file:
        file.truncate(30 * 10**6)
    with big.open("rb") as file:
        answer = httpx.post(f"{server.url}/gradio_api/upload", files={"files": file}, timeout=120)
    assert (answer.status_code, answer.text) == (413, "File size exceeded maximum allowed size of 20971520 bytes.")


def port(server):
    return int(server.url.rpartition(":")[2])


def test_a_body_of_unknown_length_is_refused(server):
    answer = httpx.post(f"{server.url}/gradio_api/upload", content=iter([b"x" * 1000] * 10))
    assert answer.status_code == 411
    assert "expected a Content-Length" in answer.json()["detail"]
    with socket.create_connection(("127.0.0.1", port(server))) as raw:
        raw.sendall(
            b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        )
        assert raw.recv(20).startswith((b"HTTP/1.1 411", b"HTTP/1.1 400"))


def test_a_request_without_files_is_small(server):
    answer = httpx.post(f"{server.url}/gradio_api/queue/join", content=b"x" * 2_000_000)
    assert (answer.status_code, "at most 1 MB" in answer.text) == (413, True)


def test_a_clip_that_was_deleted_meanwhile(server, speech):
    with speech.open("rb") as file:
        (path,) = httpx.post(f"{server.url}/gradio_api/upload", files={"files": file}).json()
    assert call(server, "reconstruct", sent(path), [], 6, 0, 0)[0] == "complete"
    server.files.sweep(time.time() + server.files.keep_s + 1)
    event, data = call(server, "reconstruct", sent(path), [], 6, 0, 0)
    assert event == "error"
    assert "file that was deleted meanwhile; upload the file again" in data["error"]


@pytest.mark.slow
def test_nothing_is_left_after_the_cache_time(server, client, speech):
    ask(client, handle_file(speech), [], 6, 2, 0)
    ask(client, 4, api="/question")
    with socket.create_connection(("127.0.0.1", port(server))) as half:
        half.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            b"Content-Length: 500000\r\n\r\n--x\r\nContent-Disposition: form-data; name=files; filename=a.wav\r\n\r\n"
            + b"y"
            * 100000
        )
        time.sleep(0.3)
    time.sleep(0.3)
    assert files_bytes(server) > 10**5
    assert server.files.sweep(time.time() + server.files.keep_s + 1) > 5
    assert list(server.files.root.iterdir()) == []
    assert ask(client, handle_file(speech), [], 6, 0, 0)[-1]["clips"] == 1  # and it goes on


# --- the server -------------------------------------------------------------------------------------------------------


def test_health(server):
    answer = httpx.get(f"{server.url}/health")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "checkpoint": "starter", "s2f": s2f.__version__}


def test_pages_may_not_fetch_from_elsewhere(server):
    policy = httpx.get(server.url).headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy


def test_the_endpoints_are_documented(client):
    told = client.view_api(return_format="dict")["named_endpoints"]
    assert set(told) == {"/reconstruct", "/face_to_face", "/question", "/guess"}
    assert all(len(endpoint["description"]) > 30 for endpoint in told.values())
    names = [parameter["parameter_name"] for parameter in told["/reconstruct"]["parameters"]]
    assert names == ["clip", "more", "seconds", "samples", "seed"]
