"""What the user paints on outlines is kept, and the rest follows it."""

from __future__ import annotations

import numpy as np
import pytest
from grain_pictures import grains, overlap, picture, tile_map

from napari_sem_classify.core.outlines.outline import draw_outlines, outline_labels


@pytest.fixture(scope="module")
def missed():
    """Grains of which the map misses those in the right half."""
    truth = grains((320, 320))
    class_map = tile_map(truth)
    class_map.probabilities[:, 5:] = [0.97, 0.03]
    return truth, class_map, picture(truth)


def found(cells):
    return outline_labels(cells, cells.grid.area) == 2


def test_a_few_strokes_teach_the_rest(missed):
    truth, class_map, image = missed
    before = found(draw_outlines(class_map, image))
    hers = np.zeros(truth.shape, np.uint8)
    for top in (40, 120, 200, 280):  # across grains and matrix, in both halves
        hers[top : top + 6, 20:300] = truth[top : top + 6, 20:300] + 1
    drawn = draw_outlines(class_map, image, hers=hers)
    free = hers == 0
    free[:, :160] = False
    assert overlap(before[free], truth[free]) < 0.6
    assert overlap(found(drawn)[free], truth[free]) > 0.8
    assert drawn.record["outlines"]["painted_px"] > 4000


def test_a_stroke_in_one_place_changes_its_surroundings_alone(missed):
    truth, class_map, image = missed
    hers = np.zeros(truth.shape, np.uint8)
    hers[100:112, 250:262] = 2
    before, after = (
        found(draw_outlines(class_map, image)),
        found(draw_outlines(class_map, image, hers=hers)),
    )
    assert after[104:108, 254:258].all()
    assert (before[:, :150] == after[:, :150]).mean() > 0.97
