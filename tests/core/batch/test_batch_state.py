"""What a batch's results are named by."""

from __future__ import annotations

from dataclasses import asdict, replace

from tiny_engine import brightness_classifier

from napari_sem_classify.core.batch.batch_outcome import is_noted
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


def test_a_plane_noted_with_the_wrong_kind_of_value_costs_its_image_alone():
    share = {"colour": "#0072b2", "cells": 1, "area_px": 9, "fraction": 0.5, "area_um2": None}
    shares = [{**share, "name": name} for name in ("a", "b")]
    sizes = dict.fromkeys(("cells", "cells_left_out", "tile_px", "stride_px"), 1)
    plane = {"plane": [], "pixel_size_nm": None, "classes": shares, **sizes}
    texts = dict.fromkeys(("image", "settings", "state", "note"), "")
    noted = {**texts, "scale_warning": False, "planes": [plane]}
    assert is_noted(noted)
    much = [{**each, "fraction": "much"} for each in shares]
    wrong = [{**plane, "classes": much}, {**plane, "cells": -1}, 5]
    assert not any(is_noted({**noted, "planes": [each]}) for each in wrong)
    assert not is_noted({**noted, "image": None})
