"""Other people's classifiers: found by name, and checked before and after they are asked."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from eval.attributes.classifier import classified
from eval.attributes.load import load_classifier
from s2f.errors import UsageError


def picture(level):
    return Image.new("RGB", (16, 16), (level, 128, 255 - level))


class Own:
    """As the docstring of eval/attributes/classifier.py shows it."""

    name = "own model"
    classes = {"gender": ("f", "m"), "ethnicity": ["north", "south"]}  # noqa: RUF012

    def __init__(self, **answers):
        self.given = answers

    def classify(self, images):
        given = {name: self.given.get(name, ["" for _ in images]) for name in self.classes}
        return given | {name: answers for name, answers in self.given.items() if name not in given}


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"gender": ["f", "male"]}, r"expected gender of f, m.*'own model', got 'male'"),
        ({"gender": ["f"]}, r"2 answers about gender.*'own model', got an array of shape \(1,\)"),
        ({"gender": [["f"], ["m"]]}, "shape"),
        ({"gender": [1, 0]}, "1 of type int"),
        ({"gender": ["f", None]}, "None of type NoneType"),
        ({"age_class": ["child", "child"]}, "answers for gender, ethnicity"),
    ],
)
def test_answers_are_checked(answers, message):
    with pytest.raises(UsageError, match=message):
        classified(Own(**answers), [picture(0), picture(1)])


def test_good_answers_pass():
    found = classified(Own(gender=("f", ""), ethnicity=np.array(["south", "north"], dtype=object)), [picture(0)] * 2)
    assert {name: answers.tolist() for name, answers in found.items()} == {
        "gender": ["f", ""],
        "ethnicity": ["south", "north"],
    }
    with pytest.raises(UsageError, match="got list"):
        classified(SimpleNamespace(name="x", classes=Own.classes, classify=lambda images: []), [picture(0)])


def made(**values):
    return SimpleNamespace(**({"name": "x", "classes": Own.classes, "classify": len} | values))


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda: made(name=""), "`name`"),
        (lambda: made(classify=None), "`classify`"),
        (lambda: made(classes={}), "`classes`"),
        (lambda: made(classes={"glasses": ("yes", "no")}), "got 'glasses'"),
        (lambda: made(classes={"gender": ("female", "male")}), "gender of f, m"),
        (lambda: made(classes={"ethnicity": ("one",)}), "two or more different names"),
        (lambda: made(classes={"ethnicity": ("one", "")}), "two or more different names"),
        (lambda: 3, "got int"),
        ("a text", "got str"),
    ],
)
def test_what_is_no_classifier_is_refused(monkeypatch, factory, message):
    monkeypatch.setitem(sys.modules, "somebodys", SimpleNamespace(Model=factory))
    with pytest.raises(UsageError, match=message):
        load_classifier("somebodys:Model")


def test_classifiers_are_found_by_name(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "somebodys", SimpleNamespace(Model=Own))
    assert load_classifier("somebodys:Model").name == "own model"
    for name in ("somebodys:Missing", "no_such_module:Model", str(tmp_path / "none"), "somebodys"):
        with pytest.raises(UsageError, match=r"package\.module:factory, got"):
            load_classifier(name)
