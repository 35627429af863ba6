"""Items of matching networks: who may meet whom, what is drawn how often, and what is read."""

import pickle
from collections import Counter

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from torch.utils.data import DataLoader

import s2f
from s2f.datasets import DatasetFolder
from s2f.errors import BadFile, DatasetError, RecipeError
from s2f.faces.dynamic_images import as_picture, dynamic_image
from s2f.matching.media import Media
from s2f.training.loop.bad_items import SkippingItems, collate
from s2f.training.loop.sampler import StepSampler
from s2f.training.matching.items import IdentityBatches, Pairs, Triplets
from s2f.training.matching.people import People
from tests.s2f.tiny_data import write_csv

RATE = 16000


def folder(root, heard, seen, absent=()):
    """Tables without files: `heard` and `seen` give the videos of everybody's voices and faces."""
    root.mkdir(parents=True, exist_ok=True)
    names = sorted({*heard, *seen, *absent}, reverse=True)  # labels are sorted all the same
    write_csv(root / "people.csv", [{"identity": name, "split": "train"} for name in names])
    for table, media in (("voices", heard), ("faces", seen)):
        rows = [
            {"identity": name, "path": f"{table}/{name}_{k}", "video": video}
            for name in names
            for k, video in enumerate(media.get(name, ()))
        ]
        write_csv(root / f"{table}.csv", rows)
    return DatasetFolder(root)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Five people, unequal numbers of media; video `x` shows three of them, and some videos are unknown."""
    heard = {"a": ["a1", "a2", ""], "b": ["b1", "x", "b2", "b2"], "c": ["x", "c1"], "d": ["d1"], "e": ["e1", "", "x"]}
    seen = {"a": ["a1", "a3", "", "a2"], "b": ["b1", "x"], "c": ["c1", "x", "c2"] * 5, "d": ["", "d2"], "e": ["e2"]}
    return People.read(folder(tmp_path_factory.mktemp("people"), heard, seen), "train")


def videos(people, voices, faces):
    heard = {people.voices.videos[k] for k in voices} - {""}
    return heard & ({people.faces.videos[k] for k in faces} - {""})


@pytest.mark.parametrize("direction", ["v2f", "f2v"])
@pytest.mark.parametrize("ways", [2, 4])
@pytest.mark.parametrize("fixed", [None, 40])
def test_triplets_keep_their_rules(people, direction, ways, fixed):
    """Never the same video, other people's faces all of different people, the right one at every place alike."""
    items = Triplets(people, None, 7, direction, ways, fixed)
    places, anchors = Counter(), Counter()
    epochs = 1 if fixed else 2500 // len(items)
    for epoch in range(epochs):
        for item in range(len(items) if not fixed else 2500):
            voices, faces = items.choice(epoch, item)
            assert not videos(people, voices, faces)
            sides = [[people.voices.labels[k] for k in voices], [people.faces.labels[k] for k in faces]]
            (anchor,), candidates = sides if direction == "v2f" else sides[::-1]
            assert len(candidates) == len(set(candidates)) == ways
            places[candidates.index(anchor)] += 1
            anchors[(voices if direction == "v2f" else faces)[0]] += 1
    count = sum(places.values())
    expected, allowed = count / ways, 4 * (count * (1 / ways) * (1 - 1 / ways)) ** 0.5
    assert all(abs(places[place] - expected) < allowed for place in range(ways)), places
    assert set(anchors) == set(range(len(items.anchors.rows)))
    assert fixed or set(anchors.values()) == {epochs}


def test_candidates_are_drawn_evenly(people):
    """The right face over all of the person that may be; the other person first, however many faces each has."""
    items = Triplets(people, None, 1)
    anchor = people.voices.rows.index(({"identity": "a", "path": "voices/a_0", "video": "a1"},))
    right, wrong = Counter(), Counter()
    for epoch in range(2000):
        _, faces = items.choice(epoch, anchor)
        for face in faces:
            (right if people.faces.labels[face] == 0 else wrong)[face] += 1
    assert {people.faces.videos[face] for face in right} == {"a3", "", "a2"}
    assert all(abs(n - 2000 / 3) < 4 * (2000 * 2 / 9) ** 0.5 for n in right.values()), right
    others = Counter(people.faces.labels[face] for face in wrong.elements())
    assert all(abs(others[label] - 500) < 4 * (2000 * 3 / 16) ** 0.5 for label in (1, 2, 3, 4)), others
    assert set(wrong) == {face for face, label in enumerate(people.faces.labels) if label}


def test_fixed_triplets_repeat_and_fresh_ones_change(people):
    fixed, fresh = Triplets(people, None, 3, fixed=200), Triplets(people, None, 3)
    assert (len(fixed), len(fresh)) == (200, len(people.voices.rows))
    first = [fixed.choice(0, item) for item in range(200)]
    assert [fixed.choice(9, item) for item in reversed(range(200))] == first[::-1]
    other = [Triplets(people, None, 4, fixed=200).choice(0, item) for item in range(200)]
    assert [voices for voices, _ in other] != [voices for voices, _ in first]
    epochs = [[fresh.choice(epoch, item) for item in range(len(fresh))] for epoch in (0, 1)]
    assert epochs[0] != epochs[1]
    assert (
        [voices for voices, _ in epochs[0]] == [voices for voices, _ in epochs[1]] == [[k] for k in range(len(fresh))]
    )
    assert [fresh.choice(0, item) for item in range(len(fresh))] == epochs[0]


def test_pairs_are_half_matched_and_each_voice_in_turn(people):
    items = Pairs(people, None, 2)
    matched = []
    for epoch in range(40):
        matched.append([])
        for item in range(len(items)):
            (voice,), (face,) = items.choice(epoch, item)
            assert voice == item
            assert not videos(people, [voice], [face])
            matched[-1].append(people.voices.labels[voice] == people.faces.labels[face])
    assert all(abs(sum(row) - len(items) / 2) <= 0.5 for row in matched)
    assert all(a != b for a, b in zip(matched[0], matched[1], strict=True))


@pytest.mark.parametrize("counts", [(1, 1), (2, 2), (3, 1), (7, 9)])
def test_identity_items_have_one_person_and_no_common_video(people, counts):
    items = IdentityBatches(people, None, 5, *counts)
    assert items.distinct
    assert len(items) == 5
    met = set(), set()
    for epoch in range(300):
        for item in range(5):
            chosen = items.choice(epoch, item)
            assert not videos(people, *chosen)
            for numbers, pool, count, seen in zip(chosen, (people.voices, people.faces), counts, met, strict=True):
                assert {pool.labels[k] for k in numbers} == {item}
                assert len(numbers) == count
                often = Counter(numbers).values()
                assert max(often) - min(often) <= 1
                seen.update(numbers)
    assert met == (set(range(len(people.voices.rows))), set(range(len(people.faces.rows))))


def test_identity_items_use_all_that_may_be_used(tmp_path):
    """Four voices and faces without videos: four of each are all of them, and three are never one twice."""
    data = folder(tmp_path, {"a": [""] * 4, "b": [""] * 4}, {"a": [""] * 4, "b": [""] * 4})
    people = People.read(data, "train")
    for epoch in range(20):
        voices, faces = IdentityBatches(people, None, 0, 4, 3).choice(epoch, 1)
        assert sorted(voices) == people.voices.of[1]
        assert len(set(faces)) == 3
    for side in (0, 1):
        pairs = Counter(tuple(IdentityBatches(people, None, 0, 2, 2).choice(epoch, 0)[side]) for epoch in range(600))
        assert len(pairs) == 12
        assert all(abs(count - 50) < 4 * (600 * 11 / 144) ** 0.5 for count in pairs.values()), pairs


def test_people_are_skipped_with_a_sentence(tmp_path):
    heard = {"a": ["1", "2"], "b": ["1"], "d": ["7"], "e": ["5", ""], "f": ["1"], "g": ["1"], "h": ["1"], "i": ["1"]}
    heard["k"] = ["3"]
    seen = {"a": ["1", "1"], "c": ["1"], "d": ["7", "7"], "e": ["5"], "k": ["3", "4"]}
    people = People.read(folder(tmp_path / "some", heard, seen, absent=["z"]), "train")
    assert people.identities == ["a", "e", "k"]
    no_face = dict.fromkeys("bfghi", "no face")
    reason = "no face from another video than its voices"
    assert people.left_out == no_face | {"c": "no voice", "z": "no voice", "d": reason}
    assert people.note() == (
        "3 people with 3 voices and 4 faces; "
        "left out: 5 with no face (b, f, g, …); 2 with no voice (c, z); "
        "1 with no face from another video than its voices (d); 3 voices and faces have no counterpart in another video"
    )
    assert [people.voices.videos[k] for k in people.voices.of[0]] == ["2"]
    assert [people.faces.videos[k] for k in people.faces.of[2]] == ["4"]
    assert people.faces.labels == [2, 1, 0, 0]  # the table's order is kept, the labels are those of sorted names
    for bad in (({"a": ["1"]}, {"a": ["1"]}), ({"a": ["1"]}, {"b": ["1"]})):
        with pytest.raises(
            DatasetError, match=r"people with a voice and a face in split train, got \d with no .*; look"
        ):
            People.read(folder(tmp_path / "none", *bad), "train")
    assert People.read(folder(tmp_path / "all", {"a": [""]}, {"a": [""]}), "train").note() == (
        "1 people with 1 voices and 1 faces; left out: nobody"
    )


def test_too_few_people_are_refused(people, tmp_path):
    with pytest.raises(RecipeError, match="at least 6 people for 6 candidates, got 5: 5 people with"):
        Triplets(people, None, 0, ways=6)
    with pytest.raises(RecipeError, match="ways >= 2, got 1"):
        Triplets(people, None, 0, ways=1)
    alone = People.read(folder(tmp_path / "one", {"a": [""]}, {"a": [""]}), "train")
    for items in (Pairs, IdentityBatches):
        with pytest.raises(RecipeError, match="at least 2 people"):
            items(alone, None, 0)
    together = {"a": ["x", "y"], "b": ["x", "y"]}
    two = People.read(folder(tmp_path / "two", {"a": ["x"], "b": ["x"]}, together), "train")
    assert people.faces.videos[Triplets(two, None, 0).choice(0, 0)[1][0]] != "x"
    voices_of_one_video = People.read(
        folder(tmp_path / "x", {"a": ["x"], "b": ["y"]}, {"a": ["y"], "b": ["x"]}), "train"
    )
    with pytest.raises(DatasetError, match="1 other people seen or heard outside video x, got 0"):
        Triplets(voices_of_one_video, None, 0).choice(0, voices_of_one_video.voices.videos.index("x"))


@pytest.fixture(scope="module")
def face_encoder():
    return s2f.CompactFaceEncoder((4, 8), 16, num_identities=6, image_size_px=16)


@pytest.fixture
def media(tiny_dataset, face_encoder):
    def build(**changes):
        return Media(DatasetFolder(tiny_dataset), RATE, face_encoder.prepare, **({"seconds": 1.0} | changes))

    return build


def random(seed=0):
    return np.random.default_rng(seed)


def write_sound(tiny_dataset, tmp_path, samples):
    path = tmp_path / "sound.wav"
    soundfile.write(path, samples, RATE, "FLOAT")
    return {"identity": "id0", "path": str(path), "start_s": "0", "duration_s": ""}


@pytest.mark.parametrize("factor", [0.95, 1.0, 1.05])
def test_speed_multiplies_the_frequency_and_keeps_the_length(media, tiny_dataset, tmp_path, factor):
    """Bins of a third of a hertz: the peak of 440 Hz moves to exactly 440 x factor; clicks come sooner by as much."""
    time = np.arange(4 * RATE) / RATE
    row = write_sound(tiny_dataset, tmp_path, 0.3 * np.sin(2 * np.pi * 440 * time))
    clip = media(seconds=3.0, speed=[factor, factor]).voice(row, random()).numpy()
    assert (clip.shape, clip.dtype) == ((3 * RATE,), np.float32)
    assert np.abs(np.fft.rfft(clip)).argmax() == round(440 * factor * 3)
    clicks = np.random.default_rng(0).normal(0, 0.005, 4 * RATE)
    clicks[2 * RATE] = 0.9
    row["path"] = write_sound(tiny_dataset, tmp_path, clicks)["path"]
    assert np.abs(media(seconds=3.0, speed=[factor, factor]).voice(row, random()).numpy()).argmax() == pytest.approx(
        2 * RATE / factor, abs=1
    )


def test_speeds_are_drawn_uniformly(media, tiny_dataset, tmp_path):
    time = np.arange(2 * RATE) / RATE
    row = write_sound(tiny_dataset, tmp_path, 0.3 * np.sin(2 * np.pi * 1000 * time))
    reader = media(seconds=1.0, speed=[0.9, 1.1], cached_clips=1)
    generator = random()
    peaks = [np.abs(np.fft.rfft(reader.voice(row, generator).numpy())).argmax() / 1000 for _ in range(200)]
    assert 0.899 <= min(peaks) < 0.905
    assert 1.095 < max(peaks) <= 1.101
    assert np.mean(peaks) == pytest.approx(1.0, abs=4 * 0.2 / 12**0.5 / 200**0.5)
    for bad in ([1.1, 0.9], [0.0, 1.0], [1.0]):
        with pytest.raises(RecipeError, match="speed"):
            media(speed=bad)


def test_speed_does_not_leave_full_scale(media, tiny_dataset, tmp_path):
    square = 0.99 * np.sign(np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE + 0.1))
    row = write_sound(tiny_dataset, tmp_path, square)
    clip = media(speed=[0.97, 0.97]).voice(row, random())
    assert clip.abs().max() == 1.0


def test_clips_are_cut_repeated_and_trimmed(media, tiny_dataset, tmp_path):
    row = DatasetFolder(tiny_dataset).voices("train")[0]
    samples, _ = soundfile.read(tiny_dataset / row["path"], dtype="float32")
    np.testing.assert_array_equal(media().voice(row, random(3)).numpy(), samples[:RATE])
    np.testing.assert_array_equal(media(seconds=5.0).voice(row, random()).numpy(), np.resize(samples, 5 * RATE))
    ramp = (np.arange(4 * RATE) - 2 * RATE) / (4 * RATE)  # a sample says where it lies
    row = write_sound(tiny_dataset, tmp_path, ramp)
    reader, generator = media(crop="random", cached_clips=1), random()
    clips = torch.stack([reader.voice(row, generator) for _ in range(200)])
    torch.testing.assert_close(clips[:, -1] - clips[:, 0], torch.full((200,), (RATE - 1) / (4 * RATE)))
    starts = (clips[:, 0] * 4 * RATE + 2 * RATE).round()
    assert 0 <= starts.min() < 0.1 * RATE
    assert 2.9 * RATE < starts.max() <= 3 * RATE
    assert starts.mean() == pytest.approx(1.5 * RATE, abs=4 * 3 * RATE / 12**0.5 / 200**0.5)


def test_caches_are_bounded_and_change_nothing(media, tiny_dataset):
    data = DatasetFolder(tiny_dataset)
    voices, faces = data.voices("train"), data.faces("train")
    plain, cached = media(crop="random"), media(crop="random", cached_clips=2, cached_faces=3)
    for _ in range(2):
        for row in voices[:4]:
            clip = cached.voice(row, random())
            assert torch.equal(clip, plain.voice(row, random()))
            clip.zero_()
        for row in faces[:5]:
            assert torch.equal(cached.face((row,), random())["face"], plain.face((row,), random())["face"])
    assert (len(cached.clips), len(cached.pictures)) == (2, 3)
    assert (len(plain.clips), len(plain.pictures)) == (0, 0)
    cached.data.root = None  # what is kept is not read again
    cached.voice(voices[0], random())
    cached.face((faces[0],), random())


def test_faces_are_the_prepared_pictures(media, tiny_dataset, face_encoder):
    row = DatasetFolder(tiny_dataset).faces("train")[3]
    face = media().face((row,), random())
    assert list(face) == ["face"]
    pixels = torch.from_numpy(np.array(Image.open(tiny_dataset / row["path"]))).permute(2, 0, 1)[None] / 255
    assert torch.equal(face["face"], (face_encoder.prepare(pixels)[0] * 255).round().to(torch.uint8))


@pytest.fixture(scope="module")
def track_rows(tmp_path_factory):
    """A face that moves for 25 frames; the red of its first pixel is eight times the number of the frame."""
    root, rows = tmp_path_factory.mktemp("track"), []
    for frame in range(25):
        pixels = np.full((16, 16, 3), 100, dtype=np.uint8)
        pixels[4:8, frame // 2 : frame // 2 + 4] = 220
        pixels[0, 0, 0] = 8 * frame
        Image.fromarray(pixels).save(root / f"{frame}.png")
        rows.append({"identity": "id0", "path": str(root / f"{frame}.png"), "video": "v", "frame_s": f"{frame / 25}"})
    return tuple(rows)


def test_dynamic_images_and_the_picture_beside_them(media, track_rows):
    frames = torch.stack([torch.from_numpy(np.array(Image.open(row["path"]))).permute(2, 0, 1) for row in track_rows])

    def expected(*windows):
        return torch.stack([as_picture(dynamic_image(frames[first:end])) for first, end in windows])

    whole = media(dynamic="single").face(track_rows, random())
    assert torch.equal(whole["dynamic"], expected((0, 25)))
    assert torch.equal(whole["face"], frames[12])
    many = media(dynamic="multiple").face(track_rows, random())
    assert torch.equal(many["dynamic"], expected(*((15 * k // 9, 15 * k // 9 + 10) for k in range(10))))
    assert torch.equal(many["face"], frames[12])
    reader, generator, begins = media(dynamic="dense", window_stride=5, cached_faces=25), random(), Counter()
    for _ in range(60):
        one = reader.face(track_rows, generator)
        begin = int(one["face"][0, 0, 0]) // 8 - 5
        assert torch.equal(one["dynamic"], expected((begin, begin + 10)))
        begins[begin] += 1
    assert set(begins) == {0, 5, 10, 15}
    assert min(begins.values()) > 5


def test_tracks_are_the_faces_of_dynamic_items(tmp_path, track_rows, tiny_dataset, face_encoder):
    voices = [{"identity": f"id{k}", "path": str(tiny_dataset / f"id{k}.wav"), "video": "w"} for k in (0, 1)]
    later = [row | {"video": "u", "frame_s": str(9 + k / 25)} for k, row in enumerate(track_rows[:12])]
    other = [row | {"identity": "id1"} for row in track_rows]
    untimed = [row | {"identity": "id2", "frame_s": ""} for row in track_rows]
    write_csv(tmp_path / "people.csv", [{"identity": f"id{k}", "split": "train"} for k in (2, 1, 0)])
    write_csv(tmp_path / "voices.csv", [*voices, voices[0] | {"identity": "id2"}])
    write_csv(tmp_path / "faces.csv", [*later, *untimed, *other, *track_rows])
    data = DatasetFolder(tmp_path)
    people = People.read(data, "train", tracks=True)
    assert people.left_out == {"id2": "no face"}
    assert [len(rows) for rows in people.faces.rows] == [12, 25, 25]
    assert people.faces.labels == [0, 0, 1]
    reader = Media(data, RATE, face_encoder.prepare, seconds=1.0, dynamic="multiple")
    item = Triplets(people, reader, 0)[0, 1]
    assert item["dynamic"].shape == (2, 10, 3, 16, 16)
    assert (item["face"].dtype, item["dynamic"].dtype) == (torch.uint8, torch.uint8)


def test_items_and_batches_keep_the_contract(media, tiny_dataset):
    """The item belongs to its key alone: after others, in another process, with other caches."""
    people = People.read(DatasetFolder(tiny_dataset), "train")
    reader = media(crop="random", speed=[0.95, 1.05], cached_clips=3, cached_faces=3)
    items = IdentityBatches(people, reader, 0, 2, 3)
    sampler = StepSampler(len(items), 4, seed=0, start=0, stop=3, rank=0, processes=1, distinct=True)
    for keys, batch in zip(sampler, DataLoader(items, batch_sampler=sampler), strict=True):
        assert {name: (tuple(value.shape), value.dtype) for name, value in batch.items()} == {
            "voice": ((4, 2, RATE), torch.float32),
            "face": ((4, 3, 3, 16, 16), torch.uint8),
            "voice_label": ((4, 2), torch.int64),
            "face_label": ((4, 3), torch.int64),
        }
        assert batch["voice_label"][:, 0].tolist() == batch["face_label"][:, 2].tolist() == [item for _, item in keys]
    again = IdentityBatches(people, media(crop="random", speed=[0.95, 1.05]), 0, 2, 3)
    copy = pickle.loads(pickle.dumps(items))
    for key in ((0, 5), (3, 2)):
        for other in (again, copy):
            assert all(torch.equal(value, other[key][name]) for name, value in items[key].items())
    assert not torch.equal(items[0, 5]["voice"], items[1, 5]["voice"])


def test_what_is_read_is_what_was_chosen(media, tiny_dataset):
    """Of a fixed triplet the cut changes from epoch to epoch, nothing else does."""
    people = People.read(DatasetFolder(tiny_dataset), "train")
    items = Triplets(people, media(crop="random"), 0, "f2v", 3, fixed=5)
    first, second = items[0, 4], items[1, 4]
    voices, faces = items.choice(0, 4)
    assert first["voice_label"].tolist() == [people.voices.labels[k] for k in voices]
    assert first["face_label"].tolist() == [people.faces.labels[k] for k in faces]
    assert torch.equal(first["face"][0], items.media.face(people.faces.rows[faces[0]], random())["face"])
    tones = [np.abs(np.fft.rfft(clip)).argmax() for clip in first["voice"].numpy()]
    assert tones == [110 + 20 * label for label in first["voice_label"].tolist()]  # id3 hums at 170 Hz
    assert torch.equal(first["face"], second["face"])
    assert torch.equal(first["voice_label"], second["voice_label"])
    assert not torch.equal(first["voice"], second["voice"])


def test_bad_files_are_named_and_can_be_skipped(media, tiny_dataset, tmp_path):
    data = DatasetFolder(tiny_dataset)
    for table in ("people.csv", "voices.csv", "faces.csv"):
        rows = (tiny_dataset / table).read_text().replace("id4.wav", "bad.wav").replace("faces/id2", "faces/flat")
        for place in ("faces/id", "id"):
            rows = rows.replace(f",{place}", f",{tiny_dataset}/{place}")
        (tmp_path / table).write_text(rows)
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    (tmp_path / "faces").mkdir()
    for view in ("canonical", "wild"):
        Image.new("RGB", (20, 30)).save(tmp_path / "faces" / f"flat_{view}.png")
    reader = Media(DatasetFolder(tmp_path), RATE, media().prepare, seconds=1.0)
    items = IdentityBatches(People.read(reader.data, "train"), reader, 0)
    for item, path in ((4, "bad.wav"), (2, "faces/flat_")):
        with pytest.raises(BadFile, match=f"got {path}") as caught:
            items[0, item]
        assert caught.value.path.startswith(path)
    content, reasons = collate([SkippingItems(items, 0)[0, item] for item in range(6)])
    assert content["voice"].shape == (6, 1, RATE)
    assert {path.partition("_")[0] for path, _ in reasons} == {"bad.wav", "faces/flat"}
    assert len(data.people) == 9
