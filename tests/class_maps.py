"""Small class maps for tests."""

from __future__ import annotations

import numpy as np

from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.model.card import ClassInfo, default_colours
from napari_sem_classify.core.tiles.grid import TileGrid

NAMES = ("matrix", "oxide", "crack")


def map_of(
    labels,
    *,
    stride=16,
    cut=(0, 0),
    offset=(0, 0),
    pixel_size_nm=50.0,
    names=NAMES,
    image_name="coating_12",
    confidence=0.8,
):
    """A class map with these class numbers (0 left out); `cut` px are missing at its end."""
    labels = np.asarray(labels)
    rows, cols = labels.shape
    top, left = offset
    area = Area(top, top + rows * stride - cut[0], left, left + cols * stride - cut[1])
    k = len(names)
    probabilities = np.full((rows, cols, k), (1 - confidence) / (k - 1), np.float32)
    for number in range(1, k + 1):
        probabilities[labels == number, number - 1] = confidence
    probabilities[labels == 0] = np.nan
    classes = tuple(ClassInfo(n, c) for n, c in zip(names, default_colours(k), strict=True))
    return ClassMap(
        probabilities,
        TileGrid(area, stride, stride),
        classes,
        pixel_size_nm,
        image_name,
        record={"job": "classify", "versions": {"numpy": "2"}},
    )


def patchy_labels(shape=(40, 50), seed=0, shares=(0.6, 0.3, 0.1)):
    """Class numbers 1 to 3 in patches."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.standard_normal(shape), 2.5)
    cuts = np.quantile(field, np.cumsum(shares)[:-1])
    return np.digitize(field, cuts) + 1
