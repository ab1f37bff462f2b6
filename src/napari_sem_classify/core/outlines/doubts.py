"""When outlines should not be trusted, in sentences for the user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.maps.class_map import ClassMap

NO_EDGES = 0.02
UNSURE = 0.6
MUCH = 0.25


def doubts(drawn: ClassMap, told: Mapping[str, Any]) -> list[str]:
    """What speaks against these outlines; empty where nothing does.

    Parameters
    ----------
    drawn : ClassMap
        The outlines.
    told : mapping
        How they were drawn, see `outline`.
    """
    found = []
    if told["pixels_gain"] < NO_EDGES:
        found.append(
            "Pixels hardly tell the classes apart, so the outlines follow the tiles and are only "
            "pulled to edges nearby."
        )
    labels, confidence = drawn.labels(), drawn.confidence()
    known = labels > 0
    if known.any():
        unsure = float((confidence[known] < UNSURE).mean())
        if unsure > MUCH:
            found.append(f"{unsure:.0%} of the outlined area is unsure.".replace("%", " %"))
        narrow = _narrow(labels)
        if narrow > MUCH:
            found.append(
                f"{narrow:.0%} of the outlined area is hardly wider than the step of "
                f"{drawn.grid.stride} px: use a smaller step.".replace("%", " %")
            )
    missing = [name for name, each in told.get("thin", {}).items() if not each["drawn"]]
    for name in missing:
        found.append(
            f"What is {name} in a tile could not be told from its surroundings, so none is drawn."
        )
    return found


def _narrow(labels: NDArray[np.uint16]) -> float:
    """Share of cells that lie in no 3 × 3 cells of their class."""
    from scipy.ndimage import maximum_filter, minimum_filter

    same = minimum_filter(labels, 3) == maximum_filter(labels, 3)
    inside = np.zeros(labels.shape, np.bool_)
    for number in np.unique(labels[labels > 0]):
        mine = labels == number
        inside |= mine & maximum_filter(same & mine, 3)
    return float(1.0 - inside.sum() / max(1, (labels > 0).sum()))
