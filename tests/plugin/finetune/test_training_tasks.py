"""What Fine-tune does in its thread, without a viewer: real trainings of a few steps at 32 px."""

from __future__ import annotations

import time

import pytest
from labelled_images import grains, write_classes

from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.annotate.place import fingerprint
from napari_sem_classify.core.common.errors import Cancelled, DatasetError
from napari_sem_classify.core.evaluate.dataset import read_listing
from napari_sem_classify.core.finetune.finetune_options import FineTuneOptions
from napari_sem_classify.core.finetune.finetune_pace import PACES
from napari_sem_classify.core.finetune.finetune_presets import PRESETS, make_preset
from napari_sem_classify.core.sem_io import image_from_array
from napari_sem_classify.plugin.app.jobs import JobContext
from napari_sem_classify.plugin.finetune import stages, training_tasks
from napari_sem_classify.plugin.finetune.chosen import (
    AnnotatedChoice,
    FolderChoice,
    summary_text,
    too_few,
    warnings,
)

pytestmark = pytest.mark.usefixtures("one_thread", "tiny_by_default")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("labelled") / "set"
    return FolderChoice(read_listing(write_classes(place, {"fine": 8, "coarse": 8})))


def settings(epochs=1, **more):
    return FineTuneOptions(make_preset("article", sizes=[32], epochs=epochs), device="cpu", **more)


def annotated(counts, tile=16):
    image = image_from_array(grains(256, 256, 3, 1), "sample", pixel_size_nm=5.0)
    key = fingerprint(image)
    annotations, column = Annotations(), 0
    for name, count in counts.items():
        annotations = annotations.with_class(name).with_image(image, key)
        places = [(16 * (n % 16), 16 * (column + n // 16), tile) for n in range(count)]
        annotations = annotations.with_marks(key, places, name)
        column += 1 + count // 16
    return AnnotatedChoice(annotations, tile, {key: image})


# --- what is told beforehand


def test_the_summary_says_how_much_there_is(folder):
    assert summary_text(annotated({"a": 20, "b": 5})) == "25 tiles of 16 px · 2 classes · 1 image"
    assert summary_text(folder) == "16 images · 2 classes"


def test_one_class_or_none_cannot_be_learned():
    assert too_few(annotated({"a": 20})).startswith('There is only the class "a"')
    assert too_few(annotated({})).startswith("No tile of this size")
    assert too_few(annotated({"a": 3, "b": 3})) == ""


def test_few_tiles_and_uneven_classes_are_warned_of():
    few, uneven = warnings(annotated({"a": 100, "b": 4}))
    assert few.startswith("Fewer than 20 tiles of b:")
    assert "(25 to 1)" in uneven
    assert warnings(annotated({"a": 40, "b": 40})) == []


def test_the_preview_shows_each_class_as_it_is_and_changed():
    names, pictures = training_tasks.preview(annotated({"a": 4, "b": 4}), PRESETS["sem"])(
        JobContext()
    )
    size = PRESETS["sem"].stages[-1].size
    assert names == ["a", "b"]
    assert pictures.shape == (2, training_tasks.COPIES, size, size)
    assert (pictures[:, 0] != pictures[:, 1]).mean() > 0.1


# --- the table of stages


def test_a_preset_survives_the_table_of_stages():
    for preset in PRESETS.values():
        assert stages.stages_of([stages.texts_of(s) for s in preset.stages]) == preset.stages


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (("16", "1", "1", "1e-3", "1e-3"), "Stage 1 has a size of 16 px"),
        (("64", "0", "0", "1e-3", "1e-3"), "Stage 1 has 0 epochs"),
        (("64", "one", "1", "1e-3", "1e-3"), "Stage 1 has 'one' under Epochs head"),
        (("64", "1", "1", "2", "1e-3"), "Stage 1 has the learning rate '2'"),
        (("64", "1", "1", "1e-3", ""), "Stage 1 has the learning rate ''"),
    ],
)
def test_a_stage_that_cannot_be_is_told_in_one_sentence(row, told):
    with pytest.raises(DatasetError) as error:
        stages.stages_of([row])
    assert str(error.value).startswith(told)


# --- training


def train(choice, how, place, stop=None, context=None):
    return training_tasks.train(choice, how, stop or training_tasks.Stop(), place)(
        context or JobContext()
    )


def test_a_folder_is_trained_scored_and_its_tiles_can_be_shown(folder, tmp_path):
    outcome = train(folder, settings(), tmp_path)
    card = outcome.classifier.card
    assert card.class_names == ("coarse", "fine")
    assert len(outcome.held) == len(outcome.evaluation.truth)
    assert all(each.path.is_file() for each in outcome.held)
    right = [each.truth == each.predicted for each in outcome.held]
    assert right == sorted(right)
    assert outcome.curves.fraction == 1.0
    assert len(outcome.curves.batches) > 0
    assert not outcome.cancelled
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_training_goes_on_from_where_it_was(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "napari_sem_classify.core.finetune.finetune_learner.CHECKPOINT_EVERY_S", 0.0
    )
    how = settings(epochs=3)
    stop = training_tasks.Stop()

    class Watching(JobContext):
        def publish(self, value):
            super().publish(value)
            if len(value.epochs) == 2:
                stop.cancel()

    first = train(folder, how, tmp_path, stop, Watching())
    assert first.cancelled
    assert first.resumable
    assert len(first.curves.epochs) == 2
    assert "goes on from there" in training_tasks.interrupted(tmp_path)
    second = train(folder, how, tmp_path)
    assert training_tasks.interrupted(tmp_path) == ""
    assert not second.cancelled
    assert second.curves.epochs[:2] == first.curves.epochs
    assert second.curves.batches[0, 0] > 2.0
    assert list(tmp_path.glob("*.safetensors")) == []


def test_a_closed_window_ends_a_training_without_any_model(folder, tmp_path):
    class Closing(JobContext):
        def publish(self, value):
            self.cancel()

    with pytest.raises(Cancelled):
        train(folder, settings(epochs=50), tmp_path, context=Closing())


def test_a_folder_that_cannot_be_written_does_not_end_a_training(folder, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    outcome = train(folder, settings(), blocked)
    assert not outcome.resumable
    assert outcome.classifier.card.kind == "fine-tuned"


def test_a_training_of_a_minute_is_cut_to_it_and_says_so(folder, tmp_path):
    begun = time.perf_counter()
    options = FineTuneOptions(make_preset("sem", sizes=[32]), device="cpu")
    task = training_tasks.train(
        folder, options, training_tasks.Stop(), tmp_path, PACES["minute"], rate=1e6
    )
    outcome = task(JobContext())
    assert time.perf_counter() - begun < 60
    settings = outcome.classifier.card.record["settings"]
    assert settings["time"] == "minute"
    assert outcome.curves.preset.stages[-1].size == 32


def test_a_minute_takes_no_more_tiles_than_it_can_look_at(folder):
    many = annotated({"a": 200, "b": 40})
    assert many.with_most(100, 0).most == 50
    assert many.with_most(None, 0) is many
    assert sum(folder.with_most(8, 0).counts.values()) == 8
