"""`s2f-eval report`: what is found out about a folder, who is shown, what is refused, and the command."""

import base64
import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
from jsonargparse import ArgumentParser

from eval.commands import report as command
from eval.metrics.correlation import correlation
from eval.reconstructions.folder import read_reconstructions
from eval.report import collect as module
from eval.report.collect import Options, chosen, find_out, worst
from eval.report.page import report_page
from eval.results import Report, Row
from s2f.datasets import DatasetFolder
from s2f.errors import DatasetError, OutputError, UsageError
from s2f.faces.craniofacial import MEASURES, craniofacial_measures
from tests.eval.embeddings.test_ideal_observer import drawn_people, small_law, truth_row
from tests.eval.fake_population import write_csv
from tests.eval.report_folders import PEOPLE, SPLIT, without_plots, write_folder

CLASSIFIER = "tests.eval.report_folders:Brightness"
OPTIONS = Options(classifier=CLASSIFIER, examples=4, seed=7)
OTHER = Report("matching/1", "6" * 64, [Row("accuracy", "v2f", "U", 0.75, 0.7, 0.8, "exact", 0.5, 20, {"n_way": 2})])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return read_reconstructions(write_folder(tmp_path_factory.mktemp("report") / "drawn"))


@pytest.fixture(scope="module")
def found(folder):
    with pytest.MonkeyPatch.context() as patch:
        without_plots(patch)
        return find_out(folder, OPTIONS)


@pytest.fixture
def quick(monkeypatch):
    without_plots(monkeypatch)


def copy(folder, place):
    """A folder of its own, with the landmarks that were found."""
    shutil.copytree(folder.root, place)
    return read_reconstructions(place)


def run(*words):
    parser = ArgumentParser(exit_on_error=False)
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(word) for word in words]))


def test_everything_is_evaluated(found):
    reports = {name: part.report for name, part in found.parts.items()}
    assert {name: report and report.protocol for name, report in reports.items()} == {
        "craniofacial": "craniofacial/1",
        "true": "craniofacial/1",
        "demographics": "demographics/3",
        "classifier": None,
    }
    assert (found.features.protocol, found.decoder.protocol) == ("features/1", "decoder/1")
    told = [report for report in (*reports.values(), found.features, found.decoder) if report is not None]
    assert {report.split_hash for report in told} == {SPLIT}
    assert "does not say" in found.parts["classifier"].reason
    assert (found.classifier, found.trouble) == ("brightness", ())


def test_examples_are_numpys_choice_and_the_worst_are_the_farthest(folder, found):
    drawn = np.random.default_rng(7).permutation(PEOPLE)[:4]
    assert found.examples == tuple(f"p{number:03d}" for number in sorted(drawn))
    assert chosen(folder, 99, 0) == tuple(folder.people)
    (first, angle), (_, other) = found.worst
    assert (first, angle) == ("p009", pytest.approx(180))
    assert 0 < other < 180
    assert [name for name, _ in worst(folder, 3)][:2] == [name for name, _ in found.worst]


def rows_of(report, **params):
    return [row for row in report.rows if all(row.params.get(name) == value for name, value in params.items())]


def test_sides_of_both_craniofacial_tables(folder, found):
    """F2F against S2F, and true pictures against S2F; every control against F2F."""
    seen = module._points(folder, None, "starter", folder.root / "evaluation" / "starter")
    points = {"f2f": seen["main"].points("a"), "s2f": seen["main"].points("b"), "true": seen["true"].points("a")}
    points |= {name: seen[name].points("b") for name in ("nearest", "mean")}
    values = {kind: craniofacial_measures(one)["jaw_width"] for kind, one in points.items()}
    for name, a in (("craniofacial", "f2f"), ("true", "true")):
        row = next(row for row in found.parts[name].report.rows if row.params.get("measure") == "jaw_width")
        assert row.value == pytest.approx(correlation(values[a], values["s2f"]).r)
        assert row.direction == ("f2s" if a == "f2f" else "v2f")
        assert ("published" in row.params) == (a == "f2f")
    (row,) = rows_of(found.parts["craniofacial"].report, measure="jaw_width", control="nearest")
    assert row.value == pytest.approx(correlation(values["f2f"], values["nearest"]).r)
    undefined = rows_of(found.parts["craniofacial"].report, control="mean")
    assert len(undefined) == 12
    assert {row.ci_method for row in undefined} == {"undefined, no variance"}


def test_landmarks_are_found_once_and_kept(folder, found, monkeypatch, quick):
    def refuse(_, images):
        assert not images, "landmarks were looked for again"
        return []

    monkeypatch.setattr("eval.faces.landmarks._look_with_network", refuse)
    first = report_page(found)
    assert report_page(find_out(folder, OPTIONS)) == first
    kept = json.loads((folder.root / "evaluation" / "starter" / "craniofacial.json").read_text())
    assert kept["split_hash"] == SPLIT


def test_a_detector_is_named_without_its_place(folder, tmp_path, quick):
    from s2f.checkpoints import loading

    network = loading.resolve("starter") / "landmarks"
    assert network.is_dir()
    place = tmp_path / "secret" / "points"
    shutil.copytree(network, place)
    other = find_out(copy(folder, tmp_path / "copy"), Options(landmarks=str(place), examples=0))
    for report in (other.parts["craniofacial"].report, other.decoder):
        assert {row.params["landmarks"] for row in report.rows if "landmarks" in row.params} == {"points"}
    assert other.parts["demographics"].report is None
    assert (other.examples, other.worst) == ((), ())
    assert list(other.parts["craniofacial"].pictures.values()) == [
        tmp_path / "copy" / "evaluation" / "points" / "scatter.png"
    ]


def test_pictures_that_are_not_canonical_are_not_measured(folder, tmp_path, quick):
    other = copy(folder, tmp_path / "copy")
    table = (other.root / "people.csv").read_text()
    (other.root / "people.csv").write_text(table.replace("canonical", "wild", 1))
    part = find_out(read_reconstructions(other.root), Options(examples=0)).parts["true"]
    assert part.report is None
    assert "not all canonical" in part.reason


def test_too_few_faces_are_said_not_raised(folder, tmp_path, monkeypatch, quick):
    """Only three S2F pictures have landmarks: no correlation, but all the rest; a control without any is left out."""
    other, real = copy(folder, tmp_path / "copy"), module.point_pairs

    def blind(spare):
        def see(sets, landmarks, out):
            seen = real(sets, landmarks, out)
            found = next(iter(seen.values())).found
            lost = [path for path in found.points if spare(path)]
            for path in lost:
                found.points.pop(path)
                found.trouble[path] = "no face"
            return seen

        return see

    monkeypatch.setattr(module, "point_pairs", blind(lambda path: path.parent.name == "s2f" and path.stem > "p002"))
    found = find_out(other, Options(examples=0))
    for name in ("craniofacial", "true"):
        assert found.parts[name].report is None
        assert found.parts[name].reason.startswith(
            "4 different speakers are needed, there are 3 (14 pairs given, 3 used"
        )
    assert found.trouble == tuple(("s2f", f"p{number:03d}", "no face") for number in range(3, PEOPLE))
    monkeypatch.setattr(module, "point_pairs", blind(lambda path: path.parent.name == "mean"))
    report = find_out(other, Options(examples=0)).parts["craniofacial"].report
    assert not rows_of(report, control="mean")
    assert rows_of(report, control="nearest")
    assert any(note.startswith("control mean left out: 4 different speakers") for note in report.notes)


def test_further_reports_are_read_or_named(folder, tmp_path, quick):
    other = copy(folder, tmp_path / "copy")
    (other.root / "reports").mkdir()
    (other.root / "reports" / "b.json").write_text(OTHER.json())
    assert find_out(other, Options(examples=0)).others == {"b.json": replace(OTHER, notes=[])}
    (other.root / "reports" / "a.json").write_text('{"protocol": "x"}')
    with pytest.raises(DatasetError, match=r"a report in .*a\.json, got KeyError: 'rows'; write it with"):
        find_out(other, Options())


def test_truth_adds_what_was_planted_and_the_ideal_observer(folder, tmp_path, quick):
    data, law, random = tmp_path / "data", small_law(), np.random.default_rng(5)
    data.mkdir()
    rows = []
    for name, voice, face in zip(folder.people, *drawn_people(law), strict=False):
        sizes = {f"{kind}_{one}": random.uniform(1, 2) for kind in ("mesh", "expected") for one in MEASURES}
        rows.append(truth_row(name, voice, face) | sizes)
    people = [{"identity": name, "split": "test", "speaker": f"s{k // 2}"} for k, name in enumerate(folder.people)]
    stored = {key: np.asarray(value).tolist() for key, value in vars(law).items() if key != "sharing"}
    write_csv(data / "people.csv", people)
    write_csv(data / "truth.csv", rows)
    (data / "population.json").write_text(json.dumps({"law": stored, "sharing": asdict(law.sharing)}))
    (data / "dataset.json").write_text(json.dumps({"statement": "Nobody is shown."}))
    other = copy(folder, tmp_path / "copy")
    about = other.about | {"split_hash": DatasetFolder(data).split_hash}
    found = find_out(replace(other, about=about), Options(truth=str(data), examples=0))
    expected = correlation(
        np.log([row["mesh_jaw_width"] for row in rows]), [row["expected_jaw_width"] for row in rows]
    ).r
    for name in ("craniofacial", "true"):
        (row,) = (one for one in rows_of(found.parts[name].report, measure="jaw_width") if "planted" in one.params)
        assert row.params["planted"] == pytest.approx(expected, abs=6e-4)
        assert "by_speaker" in row.params
    assert rows_of(found.features, by="ideal observer", k=1)
    assert found.statement == "Nobody is shown."


def test_truth_must_be_of_these_people(folder, tmp_path):
    (tmp_path / "people.csv").write_text("identity,split\nsomebody,test\n")
    with pytest.raises(DatasetError, match="the truth of the people evaluated"):
        find_out(folder, Options(truth=str(tmp_path)))
    (tmp_path / "dataset.json").write_text("[]")
    with pytest.raises(DatasetError, match=r"one JSON object in .*dataset\.json"):
        find_out(folder, Options(truth=str(tmp_path)))


def test_command_writes_a_page_with_all_plots(folder, tmp_path, capsys):
    root = copy(folder, tmp_path / "copy").root
    assert run(root, "--classifier", CLASSIFIER, "--examples", 2, "--out", tmp_path / "page.html") == 0
    page = tmp_path / "page.html"
    said = f"{page}: 14 people, 0 further reports, 0 pictures without landmarks; {page.stat().st_size / 1e6:.1f} MB\n"
    assert capsys.readouterr().out == said
    places = [root / "evaluation" / "starter" / name for name in ("scatter.png", "examples.png")]
    places += [root / "evaluation" / f"confusion_{name}.png" for name in ("v2f_picture", "f2f_picture", "true_label")]
    text = page.read_text()
    for place in places:
        assert place.stat().st_size > 5000
        assert base64.b64encode(place.read_bytes()).decode() in text, place
    assert not list(tmp_path.glob(".*"))


def test_the_page_lies_in_the_folder_unless_asked_otherwise(folder, tmp_path, quick):
    root = copy(folder, tmp_path / "copy").root
    assert run(root, "--examples", 0) == 0
    assert "s2f-eval report copy --landmarks starter --examples 0 --seed 0" in (root / "report.html").read_text()


def test_what_the_command_refuses(folder, tmp_path):
    for words, kind, said in (
        (("--seed", "-1"), UsageError, "a seed and a number of 0 or more, got -1 and 12"),
        (("--examples", "-2"), UsageError, "got 0 and -2"),
        (("--classifier", "nowhere"), UsageError, "a folder that `s2f-eval probes` wrote"),
        (("--out", tmp_path), OutputError, "a file name in a folder that exists"),
        (("--out", tmp_path / "none" / "a.html"), OutputError, "a file name in a folder that exists"),
    ):
        with pytest.raises(kind, match=said):
            run(folder.root, *words)
