"""A stroke is handled once, and teaches what a label image that says the same teaches."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from tiny_engine import TinyEngine

from napari_sem_classify.core.annotate.keeper import Keeper
from napari_sem_classify.core.sem_io import image_from_array
from napari_sem_classify.core.teach.teach import teach_from_masks
from napari_sem_classify.core.teach.teach_options import TeachOptions
from napari_sem_classify.plugin.layers.annotation_layer import AnnotationLayer
from napari_sem_classify.plugin.teach.class_table import ClassTable
from napari_sem_classify.plugin.teach.learner import Learner

from ..conftest import half_dark
from .conftest import TILE, counts, learned, paint


@pytest.fixture
def handled(taught, monkeypatch):
    """How often each part of the dock deals with what is painted from here on."""
    found = Counter()

    def count(kind, name, what):
        real = getattr(kind, name)

        def counted(*args, **more):
            found[what] += 1
            return real(*args, **more)

        monkeypatch.setattr(kind, name, counted)

    taught.live.value = False  # no fit comes in between
    count(AnnotationLayer, "show", "redraws")
    count(ClassTable, "show", "refreshes")
    count(Keeper, "save", "saves")
    count(Learner, "later", "fits")
    return found


ONCE = {"redraws": 1, "refreshes": 1, "saves": 1, "fits": 1}


def test_a_stroke_is_drawn_shown_saved_and_learned_once(qtbot, taught, handled):
    paint(qtbot, taught, [(1, 1), (1, 2)], 1)
    assert counts(taught) == {"dark": 14, "bright": 12}
    assert handled == ONCE


def test_a_stroke_taken_back_is_handled_once_too(qtbot, taught, handled):
    paint(qtbot, taught, [(1, 1)], 1)
    handled.clear()
    taught.teacher.book.undo()
    qtbot.wait(20)
    assert handled == ONCE


def test_a_stroke_that_cannot_be_taken_is_only_taken_off_the_layer(qtbot, taught, handled):
    paint(qtbot, taught, [(1, 1)], 5)
    assert taught.teacher.painting.layer.data[1, 1] == 0
    assert handled == {"redraws": 1, "refreshes": 1}


def test_erasing_all_tiles_of_a_class_takes_the_score_away_at_once(qtbot, taught):
    taught.live.value = False
    paint(qtbot, taught, np.argwhere(taught.teacher.painting.layer.data == 2).tolist(), 0)
    assert taught.score_form.note.said == ""
    assert not taught.run_form.button.enabled


class HalfEngine(TinyEngine):
    """Features that the cache keeps as they are, in float16."""

    def embed(self, batch, intensity):
        return super().embed(batch, intensity).astype(np.float16).astype(np.float32)


def test_painted_tiles_teach_as_a_label_image_that_says_the_same(qtbot, widget, engine):
    engine.engine = HalfEngine(batch_size=8)
    for name in ("dark", "bright"):
        widget.class_table.add_class(name, edit=False)
    generator = np.random.default_rng(0)
    labels = generator.choice(3, (8, 16), p=(0.3, 0.35, 0.35))
    for number in (2, 1):
        paint(qtbot, widget, generator.permutation(np.argwhere(labels == number)).tolist(), number)
    learned(qtbot, widget)
    by_brush = widget.teacher.learner.learned.taught

    image = image_from_array(half_dark(), "sample_1")
    mask = np.kron(labels, np.ones((TILE, TILE), dtype=np.uint8)).astype(np.uint8)
    by_mask = teach_from_masks(
        [(image, mask)],
        [(1, "dark"), (2, "bright")],
        TeachOptions(TILE),
        engine_of=lambda _recipe: HalfEngine(batch_size=8),
    )
    np.testing.assert_array_equal(by_brush.head.weight, by_mask.head.weight)
    np.testing.assert_array_equal(by_brush.head.bias, by_mask.head.bias)
    assert by_brush.temperature == by_mask.card.temperature
    assert by_brush.scores_for_card() == by_mask.card.scores
    assert "accuracy" in by_mask.card.scores
