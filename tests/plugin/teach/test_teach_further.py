"""A second specimen is opened, judged unlike what the model learned, and mended with few tiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from tiny_engine import FEATURES, brightness_classifier

from napari_sem_classify.core.model.card import FORMAT_VERSION
from napari_sem_classify.core.model.catalogue import load_model, user_models_folder
from napari_sem_classify.core.model.file import save_model
from napari_sem_classify.core.model.head import Head, TileClassifier
from napari_sem_classify.core.model.stage_heads import StageHeads
from napari_sem_classify.core.model.transfer import NO_JUDGEMENT, Calibration, Transfer
from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE, backbone_sha256
from napari_sem_classify.plugin.teach.saving import NEW_FILE

from ..conftest import until
from .conftest import TILE, WideEngine, own_map, press

SIZES = (512, 1024, 2048)
COPIES = sum(SIZES) // FEATURES
NM = {"scale": (10, 10), "units": ("nm", "nm")}


def by_brightness(limit):
    """Weights and bias that call a tile bright from a share of the image's range on."""
    weight = np.zeros((2, FEATURES), np.float32)
    weight[:, 0] = (-15, 15)
    wide = np.tile(weight, COPIES) / COPIES
    return wide, (-wide @ np.full(sum(SIZES), limit)).astype(np.float32)


@pytest.fixture
def old_model(tmp_path):
    """A file of the user's folder: "bright" from half the range on; its stages see it otherwise."""
    small, wide = brightness_classifier(TILE, 10.0, "coating"), np.ones(sum(SIZES), np.float32)
    weight, _ = by_brightness(0.5)
    head = Head(0.5 * wide, 0.2 * wide, weight * 0.2, np.zeros(2, np.float32))
    each = np.split(wide[None] * 0, np.cumsum(SIZES)[:-1], axis=1)
    weights, biases = [], []
    for part, limit in zip(each, (0.2, 0.5, 0.5), strict=True):
        mine, own = by_brightness(limit)
        columns = part.shape[1]
        weights.append(mine[:, :columns] * (sum(SIZES) / columns))
        biases.append(own)
    stages = StageHeads(
        np.concatenate(weights, axis=1), np.stack(biases), SIZES, 0.5 * wide, 100 * wide
    )
    card = replace(
        small.card,
        network_px=128,
        backbone_id=DEFAULT_BACKBONE,
        backbone_sha256=backbone_sha256(DEFAULT_BACKBONE),
        transfer=Transfer(Calibration(0.97, 0.0, 0.02, 8, 8, 1.0, 100.0)),
        format_version=FORMAT_VERSION,
        record={
            "images": [{"name": "a", "fingerprint": "f" * 64, "tiles": {"dark": 40, "bright": 40}}]
        },
    )
    folder = user_models_folder()
    folder.mkdir(parents=True)
    return save_model(folder / "coating.safetensors", TileClassifier(card, head, stages=stages))


def three_greys():
    """A specimen on which a third of the tiles lies just under half the range, and is bright."""
    random = np.random.default_rng(0)
    picture = np.full((128, 192), 40.0)
    picture[:, 64:128], picture[:, 128:] = 112.0, 200.0
    return np.clip(picture + random.normal(0, 6, picture.shape), 1, 254).astype(np.uint8)


@pytest.fixture
def second(qtbot, engine, real_viewer, old_model, open_widget):
    """Teach, started from the old model, on a specimen that is new to it."""
    engine.engine = WideEngine(batch_size=8)
    real_viewer.add_image(three_greys(), name="specimen_2", **NM)
    widget = open_widget("Teach")
    until(qtbot, lambda: widget.teacher.key is not None)
    choose(widget, "coating")
    until(qtbot, lambda: settled(widget))
    return widget


def choose(widget, name):
    combo = widget.start_form.model_form.combo
    combo.value = next(
        each for each in combo.choices if each == name or getattr(each, "name", "") == name
    )


def settled(widget):
    learner = widget.teacher.learner
    return learner.learned is not None and not learner.busy and not learner.out_of_date


def right(widget):
    """Share of the cells that are dark in the first third and bright in the others."""
    shown = own_map(widget)
    third = shown.shape[1] // 3
    return (np.mean(shown[:, :third] == 1) + 2 * np.mean(shown[:, third:] == 2)) / 3


def answer(qtbot, widget, tiles):
    """Answer so many suggested tiles with the number keys, as they are."""
    QTest.mouseClick(widget.guide.button.native, Qt.MouseButton.LeftButton)
    until(qtbot, lambda: widget.guide.tour.active)
    for _ in range(tiles):
        place = widget.guide.tour.place
        press(widget, Qt.Key.Key_1 if place[1] < 64 else Qt.Key.Key_2)
    until(qtbot, lambda: settled(widget))


@pytest.mark.filterwarnings("ignore")
def test_a_second_specimen_that_is_unlike_is_mended_with_ten_tiles(
    qtbot, second, old_model, tmp_path
):
    assert [info.name for info in second.teacher.book.annotations.classes] == ["dark", "bright"]
    assert second.judgement.said.startswith("Very unlike what it learned: expect ")
    before, first = right(second), second.teacher.learner.learned.judgement.expected.estimate
    assert before < 0.7

    answer(qtbot, second, 10)
    rise = second.teacher.learner.learned.rise
    assert rise.tiles == 10
    assert rise.now.expected.estimate > first + 0.05
    percents = f"expect {100 * first:.0f} % → {100 * rise.now.expected.estimate:.0f} % right"
    assert percents in second.judgement.said
    assert "after 10 tiles (" in second.judgement.said
    assert right(second) > 0.95

    kept = old_model.read_bytes()
    second.keep_form.save_model(old_model, confirmed=True)
    assert second.keep_form.message.said == NEW_FILE.format(name=old_model.name)
    path = tmp_path / "coating + specimen_2.safetensors"
    second.keep_form.save_model(path)
    until(qtbot, lambda: not second.keep_form.saving)
    assert "Of 10 new tiles right: before " in second.keep_form.message.said
    assert old_model.read_bytes() == kept
    card = load_model(path).card
    assert card.record["taught_further"]["from"] == "coating"
    assert [sum(row["tiles"].values()) for row in card.record["images"]] == [80, 10]


def test_a_tile_of_a_class_that_the_model_does_not_have_is_told_and_a_new_model_takes_it(
    qtbot, second
):
    second.class_table.add_class("pore", edit=False)
    second.teacher.book.mark(second.teacher.key, {(0, 0, TILE): "pore"})
    until(qtbot, lambda: settled(second))
    assert 'coating has no class "pore"' in second.run_form.message.said
    assert second.teacher.learner.learned.lesson.class_names == ("dark", "bright")
    assert not second.keep_form.save.enabled
    choose(second, "a new model")
    assert second.teacher.learner.start is None
    assert second.grid_form.tile_px.enabled


def test_a_model_without_a_judgement_tells_what_it_had_right(qtbot, second, old_model):
    model = load_model(old_model)
    card = replace(model.card, name="old", transfer=None, format_version=2)
    save_model(old_model.with_name("old.safetensors"), TileClassifier(card, model.head))
    second.start_form.model_form.refresh()
    choose(second, "old")
    until(qtbot, lambda: settled(second) and second.teacher.learner.start.card.name == "old")
    assert second.judgement.said == NO_JUDGEMENT.sentence
    second.teacher.book.mark(second.teacher.key, {(0, 0, TILE): "dark", (0, 80, TILE): "bright"})
    until(qtbot, lambda: settled(second))
    assert "Of 2 tiles of this image that you answered, it had 1 right before." in (
        second.judgement.said
    )


def test_only_a_taught_model_can_be_started_from(qtbot, second, old_model, tmp_path):
    model = load_model(old_model)
    path = tmp_path / "dense.safetensors"
    save_model(path, replace(model, card=replace(model.card, name="fine", dense=True)))
    form = second.start_form.model_form
    form.open_file(path)
    assert "only taught ones can be taught further" in form.problem.said
    assert form.entry.name == "coating"
    offered = [getattr(each, "name", each) for each in form.combo.choices]
    assert "fine" not in offered
