"""What a batch's results are named by."""

from __future__ import annotations

from dataclasses import asdict, replace

from tiny_engine import brightness_classifier

from napari_sem_classify.core.batch.batch_state import settings_digest
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.image.intensity import IntensityRecipe


def test_results_are_taken_over_where_nothing_changed_that_reaches_a_map():
    model, wish = brightness_classifier(), asdict(ClassifyOptions(tile_px=16))
    card = model.card
    scored_again = replace(card, scores={"accuracy": 0.9}, record={"date": "today"})
    first = settings_digest(model, wish)
    assert settings_digest(replace(model, card=scored_again), wish) == first
    changed = [
        replace(card, temperature=2.0),
        replace(card, intensity=IntensityRecipe(per_tile=True)),
        replace(card, dense=True),
        replace(card, pixel_size_nm=3.0),
    ]
    others = [settings_digest(replace(model, card=each), wish) for each in changed]
    others.append(settings_digest(model, {**wish, "a further wish": True}))
    assert len({first, *others}) == 1 + len(others)
