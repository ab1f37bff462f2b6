"""What the user paints on outlines is kept, and what looks like it nearby follows."""

from __future__ import annotations

import numpy as np
from grain_pictures import grains, overlap, picture, tile_map
from scipy.ndimage import binary_erosion, label

from napari_sem_classify.core.outlines.outline import draw_outlines, outline_labels


def found(cells):
    return outline_labels(cells, cells.grid.area) == 2


def test_a_stroke_brings_the_whole_grain_and_changes_nothing_far_away():
    """The map misses all grains in the right half; one of them is told by a stroke."""
    truth = grains((320, 320))
    class_map, image = tile_map(truth), picture(truth)
    class_map.probabilities[:, 5:] = [0.97, 0.03]
    numbers, _ = label(truth)
    numbers[:, :200] = 0
    grain = numbers == np.bincount(numbers[numbers > 0]).argmax()
    hers = np.where(binary_erosion(grain, iterations=10), 2, 0).astype(np.uint8)
    before = found(draw_outlines(class_map, image))
    drawn = draw_outlines(class_map, image, hers=hers)
    after = found(drawn)
    assert before[grain].mean() < 0.5 < 0.8 < after[grain].mean()
    assert after[hers > 0].all()
    rows = np.flatnonzero(grain.any(axis=1))
    around = np.zeros_like(grain)
    around[max(0, rows[0] - 15) : rows[-1] + 15, 200:] = True
    assert overlap(after[around], truth[around]) > overlap(before[around], truth[around])
    assert np.array_equal(before[:, :100], after[:, :100])
    assert drawn.record["outlines"]["painted_px"] == (hers > 0).sum()
