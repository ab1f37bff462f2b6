"""Scores of a model on labelled images, against hand counts and scikit-learn."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from cli_files import files_in
from PIL import Image
from tiny_engine import TinyEngine, brightness_classifier

from napari_sem_classify.core.common.errors import Cancelled, DatasetError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.evaluate.dataset import RowCrop, read_listing
from napari_sem_classify.core.evaluate.evaluate import Evaluation, evaluate_images
from napari_sem_classify.core.evaluate.evaluate_report import evaluation_html, write_evaluation


def evaluation(n=200, classes=4, seed=0, temperature=3.0, **settings):
    """Cases with an over-confident model: its logits are `temperature` times too large."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, n)
    logits = 1.5 * (random.normal(size=(n, classes)) + 1.5 * np.eye(classes)[truth])

    def softmax(values):
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)

    return Evaluation(
        class_names=tuple("abcdefgh"[:classes]),
        truth=truth,
        probabilities=softmax(logits),
        uncalibrated=softmax(logits * temperature),
        groups=np.arange(n) // 5,
        **settings,
    )


def test_scores_are_those_of_scikit_learn():
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    found = evaluation()
    value = found.to_dict()
    assert value["accuracy"] == pytest.approx(accuracy_score(found.truth, found.predicted))
    for kind in ("macro", "weighted"):
        expected = precision_recall_fscore_support(found.truth, found.predicted, average=kind)
        for name, number in zip(("precision", "recall", "f1"), expected, strict=False):
            assert value[f"{kind}_{name}"] == pytest.approx(number)


def test_intervals_hold_the_score_and_narrow_with_more_cases():
    few, many = evaluation(40).class_rows()[0], evaluation(4000).class_rows()[0]
    for row in (few, many):
        for name in ("precision", "recall"):
            low, high = row[f"{name}_interval_95"]
            assert low <= row[name] <= high
    width = [np.ptp(row["recall_interval_95"]) for row in (few, many)]
    assert width[1] < width[0] / 3


def test_calibration_is_better_after_the_temperature():
    found = evaluation(2000)
    assert found.calibration().ece < found.calibration(before=True).ece / 2


def test_accuracy_rises_when_doubtful_ones_are_left_to_a_person():
    rows = evaluation(2000).coverage()
    assert rows[0][:2] == (1.0, pytest.approx(evaluation(2000).scores.accuracy))
    accuracies = [accuracy for _, accuracy, _ in rows]
    assert accuracies == sorted(accuracies)
    assert accuracies[-1] > accuracies[0] + 0.1


def test_the_files_tell_what_the_evaluation_says(tmp_path):
    found = evaluation(notes=("<b>odd</b> images were left out.",))
    paths = write_evaluation(found, brightness_classifier().card, tmp_path)
    assert sorted(path.name for path in paths) == files_in(tmp_path)
    value = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    assert value["accuracy"] == pytest.approx(found.scores.accuracy)
    with (tmp_path / "evaluation.confusion.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["true class"] for row in rows] == list("abcd")
    for row in rows:
        assert sum(float(row[name]) for name in "abcd") == pytest.approx(100)
    with (tmp_path / "evaluation.classes.csv").open(newline="") as file:
        recall = [float(row["recall"]) for row in csv.DictReader(file)]
    assert recall == pytest.approx(found.scores.recall.tolist())
    page = (tmp_path / "evaluation.html").read_text(encoding="utf-8")
    assert "<b>odd</b>" not in page
    assert page.count("data:image/png;base64,") == 2
    assert "http" not in page


def test_a_class_without_a_case_is_shown_without_a_score():
    found = evaluation(classes=3)
    absent = Evaluation(
        (*found.class_names, "never"),
        found.truth,
        np.pad(found.probabilities, [(0, 0), (0, 1)]),
        np.pad(found.uncalibrated, [(0, 0), (0, 1)]),
        found.groups,
    )
    assert np.isnan(absent.class_rows()[3]["recall"])
    assert absent.to_dict()["macro_recall"] == pytest.approx(found.to_dict()["macro_recall"])
    assert "never" in evaluation_html(absent, brightness_classifier().card)


@pytest.fixture
def images(tmp_path):
    """Dark and bright halves; "dark" is dark over most of the image and the other way round."""
    for name, bright_rows in (("bright", 40), ("dark", 8)):
        folder = tmp_path / "set" / name
        folder.mkdir(parents=True)
        for index in range(3):
            pixels = np.random.default_rng(index).integers(20, 40, (48, 48))
            pixels[:bright_rows] += 180
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")
    return tmp_path / "set"


def score(source, **settings):
    listing = read_listing(source, least_classes=1)
    return evaluate_images(listing, brightness_classifier(), engine=TinyEngine(), **settings)


def test_an_image_is_the_mean_over_its_tiles(images):
    found = score(images)
    assert found.scores.accuracy == 1.0
    # Of 3 × 3 tiles of 16 px a bright image has six bright ones and three half dark ones.
    assert found.class_names == ("dark", "bright")
    assert len(found.paths) == 6
    assert 0.6 < found.probabilities[found.truth == 1, 1].mean() < 0.999


def test_rows_can_be_cropped_before_scoring(images):
    found = score(images, crop=RowCrop.parse("0:16"))
    assert found.scores.confusion[0, 0] < 3  # the dark images' only bright rows are half of it


def test_a_class_that_the_model_does_not_know_is_refused(images):
    (images / "dark").rename(images / "grey")
    with pytest.raises(DatasetError, match="does not know the class 'grey': it knows dark, bright"):
        score(images)


def test_an_image_that_cannot_be_read_is_left_out_with_its_reason(images):
    (images / "dark" / "0.png").write_bytes(b"nothing")
    found = score(images)
    assert len(found.truth) == 5
    assert "0.png" in next(iter(found.left_out.values()))
    for path in images.rglob("*.png"):
        path.write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"No image of .* could be used"):
        score(images)


def test_scoring_can_be_cancelled(images):
    cancel = Job()
    cancel.cancel()
    with pytest.raises(Cancelled):
        score(images, job=cancel)
