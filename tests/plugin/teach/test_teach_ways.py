"""The way of looking and the processor are chosen in the form; the map follows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_backbone import TINY, known_backbone

from napari_sem_classify.core.annotate.annotation_file import load_annotations, save_annotations
from napari_sem_classify.core.model.catalogue import load_model
from napari_sem_classify.core.model.recipe import STANDARD
from napari_sem_classify.core.network.backbone import backbone_sha256
from napari_sem_classify.core.network.engine.devices import AUTOMATIC
from napari_sem_classify.core.teach.looked import Sight
from napari_sem_classify.core.teach.recipes import recipes_for

from ..conftest import until
from .conftest import TILE, WideEngine, add_classes, learned, paint, ready


def uneven_textures():
    """Columns of two textures, brightness and contrast different in each tile."""
    generator = np.random.default_rng(3)
    labels = np.tile([0, 1], (8, 8))
    coarse = np.kron(generator.choice([-1.0, 1.0], (32, 64)), np.ones((4, 4)))
    fine = generator.choice([-1.0, 1.0], (128, 256))
    tile = np.ones((TILE, TILE))
    level = np.kron(generator.uniform(70, 180, (8, 16)), tile)
    contrast = np.kron(np.exp(generator.uniform(np.log(4), np.log(60), (8, 16))), tile)
    pixels = level + contrast * np.where(np.kron(labels, tile) == 1, fine, coarse)
    return pixels.astype(np.uint8)


@pytest.fixture
def textures(qtbot, engine, real_viewer, open_widget):
    """Annotated columns of both textures, and the map made of them."""
    real_viewer.add_image(uneven_textures(), name="sample_1", scale=(10, 10), units=("nm", "nm"))
    widget = ready(qtbot, open_widget("Teach"))
    add_classes(widget, "coarse", "fine")
    places = [(row, col) for row in range(8) for col in range(16)]
    paint(qtbot, widget, [at for at in places if at[1] % 2 == 0], 1)
    paint(qtbot, widget, [at for at in places if at[1] % 2 == 1], 2)
    learned(qtbot, widget)
    return widget


def test_the_best_way_is_found_used_and_saved_with_the_model(qtbot, engine, textures, tmp_path):
    way = textures.way_form
    before = textures.teacher.learner.learned.taught.score.scores.macro_f1
    way.button.native.click()
    assert way.finding
    assert way.button.text == "Cancel"
    until(qtbot, lambda: not way.finding)
    chosen = textures.teacher.memory.recipe
    assert chosen.intensity.per_tile
    assert "instead of" in way.note.said
    assert way.combo.value == chosen
    learned(qtbot, textures)
    assert textures.teacher.learner.learned.lesson.recipe == chosen
    assert textures.teacher.learner.learned.taught.score.scores.macro_f1 > before
    engine.engine = WideEngine(batch_size=8)
    textures.teacher.memory.looked.clear()
    textures.teacher.memory.copies.clear()
    textures.teacher.learner.update()
    until(qtbot, lambda: bool(textures.teacher.memory.looked))
    learned(qtbot, textures)
    path = tmp_path / "evened.safetensors"
    textures.keep_form.save_model(path)
    until(qtbot, lambda: not textures.keep_form.saving)
    card = load_model(path).card
    assert card.intensity.per_tile
    assert card.network_px == chosen.network_px
    assert card.record["recipe"]["tried"]


def test_a_search_is_cancelled_and_changes_nothing(qtbot, gate, widget):
    add_classes(widget)
    paint(qtbot, widget, [(0, 0), (1, 0)], 1)
    paint(qtbot, widget, [(0, 9), (1, 9)], 2)
    until(qtbot, lambda: widget.teacher.learner.looking)
    widget.way_form.find()
    widget.way_form.button.native.click()
    gate.set()
    until(qtbot, lambda: not widget.way_form.finding)
    assert widget.teacher.memory.recipe == STANDARD
    assert "nothing was changed" in widget.way_form.note.said


def test_too_few_tiles_keep_the_way_and_say_why(qtbot, widget):
    add_classes(widget)
    paint(qtbot, widget, [(0, 0), (1, 0)], 1)
    paint(qtbot, widget, [(0, 9), (1, 9)], 2)
    learned(qtbot, widget)
    widget.way_form.find()
    until(qtbot, lambda: not widget.way_form.finding)
    assert "No score can be given" in widget.way_form.note.said
    assert widget.teacher.memory.recipe == STANDARD


def test_another_way_is_chosen_by_hand_and_the_map_is_made_anew(qtbot, taught, engine):
    calls = engine.engine.calls
    other = recipes_for(TILE)[1]
    taught.way_form.combo.value = other
    teacher = taught.teacher
    assert not teacher.learner.has_looked(Sight(teacher.key, teacher.image, teacher.grid))
    learned(qtbot, taught)
    assert engine.engine.calls > calls
    assert taught.teacher.learner.learned.lesson.recipe == other
    calls, anew = engine.engine.calls, engine.engine.calls - calls
    taught.way_form.combo.value = STANDARD
    learned(qtbot, taught)
    assert engine.engine.calls - calls < anew  # the cache knew all but copies of annotated tiles


def test_a_mosaic_is_stretched_frame_by_frame_by_hand_and_the_size_of_a_frame_typed_in(
    qtbot, taught
):
    row, teacher = taught.way_form.mosaic, taught.teacher
    assert row.combo.value == "image"
    assert not row.size.enabled
    row.combo.value = "frames"
    assert teacher.memory.recipe.intensity.over == "frames"
    assert "frame by frame" in taught.way_form.combo.native.currentText()
    learned(qtbot, taught)
    row.size.native.setText("64 x")
    row.size.native.editingFinished.emit()
    assert "no size of a frame" in row.problem.said
    assert teacher.memory.recipe.intensity.frame_px is None
    row.size.native.setText("64 × 128")
    row.size.native.editingFinished.emit()
    assert row.problem.said == ""
    learned(qtbot, taught)
    assert teacher.learner.learned.lesson.recipe.intensity.frame_px == (64, 128)
    taught.way_form.combo.value = STANDARD
    assert row.combo.value == "image"


def test_another_network_is_chosen_the_map_made_anew_and_the_choice_kept(
    qtbot, taught, engine, tmp_path
):
    way, teacher = taught.way_form, taught.teacher
    assert way.network.combo.native.parentWidget().isHidden()
    with known_backbone(tmp_path, sizes=(256, 512, 1024, 2048)) as info:
        way.refresh()
        assert not way.network.combo.native.parentWidget().isHidden()
        engine.engine = WideEngine(batch_size=8)
        way.network.combo.value = TINY
        assert teacher.memory.recipe == replace(STANDARD, backbone_id=TINY)
        assert not teacher.learner.has_looked(Sight(teacher.key, teacher.image, teacher.grid))
        learned(qtbot, taught)
        assert teacher.learner.learned.lesson.recipe.backbone_id == TINY
        assert {recipe.backbone_id for recipe in way.combo.choices} == {TINY}
        path = tmp_path / "other.safetensors"
        taught.keep_form.save_model(path)
        until(qtbot, lambda: not taught.keep_form.saving)
        card = load_model(path).card
        assert (card.backbone_id, card.backbone_sha256) == (info.id, backbone_sha256(TINY))
        kept = tmp_path / "kept.annotations.json"
        save_annotations(kept, teacher.annotations)
        assert load_annotations(kept).looking.recipe.backbone_id == TINY


def test_the_chosen_processor_looks_at_the_tiles(qtbot, widget, engine, monkeypatch):
    asked = []

    def make(**settings):
        asked.append((settings["device"], settings["backend"]))
        return engine.engine

    monkeypatch.setattr("napari_sem_classify.core.network.engine.make_engine", make)
    add_classes(widget)
    paint(qtbot, widget, [(0, 0), (1, 0)], 1)
    form = widget.way_form.device_form
    until(qtbot, lambda: len(form.combo.choices) > 1)
    wish = next(value for value in form.combo.choices if value != AUTOMATIC)
    form.combo.value = wish
    paint(qtbot, widget, [(0, 9), (1, 9)], 2)
    learned(qtbot, widget)
    widget.grid_form.tile_px.value = 2 * TILE
    until(qtbot, lambda: (wish.id, wish.backend) in asked)


def test_neighbours_are_looked_at_by_hand_and_left_to_the_score_again(qtbot, taught):
    learner, around = taught.teacher.learner, taught.way_form.around
    assert "three annotated images" in around.note.said
    around.context.value = True
    learned(qtbot, taught)
    assert learner.learned.taught.surroundings.context
    assert len(learner.learned.taught.head.mean) == 2 * learner.learned.lesson.features.shape[1]
    around.context.value = around.context.choices[0]
    learned(qtbot, taught)
    assert not learner.learned.taught.surroundings.context
