"""Close calls: tiles for which a model is hardly surer of one class than of another.

Rounding, of 8-bit arithmetic above all, changes the class of these and hardly of any other. So
where 8 bits alone change too many, the tiles with a small lead are looked at again in full
precision: mixed precision by tile. (By layer does not help: which layers are left in 8 bits changes
how far features are off, and that matters for close calls only.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.model.plane_scores import alone_probabilities
from napari_sem_classify.core.network.engine.base import Engine

SHARES = (0.05, 0.1, 0.15)
"""Of the tiles that are looked at again; with more of them nothing is gained."""

ENOUGH = 0.995
"""Share of tiles that have to keep their class on those that set the limit."""


@dataclass(frozen=True, slots=True, eq=False)
class SecondLook:
    """Looks again at tiles with a small lead.

    Attributes
    ----------
    below : float
        The lead, difference of the two highest probabilities, below which a tile is looked at
        again.
    exact : Engine
        Of full precision.
    """

    classifier: TileClassifier
    below: float
    exact: Engine

    def __call__(
        self, features: NDArray[np.float32], batch: NDArray[Any], intensity: IntensityRange
    ) -> None:
        """Put features of full precision in the place of those of tiles with a small lead."""
        again = lead_of(alone_probabilities(self.classifier, features)) < self.below
        if again.any():
            features[again] = self.exact.embed(batch[again], intensity)


def lead_of(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Difference of the two highest probabilities of each tile, shape (N,)."""
    highest = np.sort(probabilities, axis=1)[:, -2:]
    return np.asarray(highest[:, -1] - highest[:, 0], dtype=np.float32)


def limit_for(mine: NDArray[np.float32], exact: NDArray[np.float32]) -> tuple[float, float] | None:
    """The lead below which tiles have to be looked at again, and the share of tiles that have it.

    Parameters
    ----------
    mine, exact : float32, shape (N, classes)
        Probabilities of some tiles as they are found and in full precision.

    Returns
    -------
    (float, float) or None
        None where too many tiles with a large lead change their class.
    """
    same = mine.argmax(axis=1) == exact.argmax(axis=1)
    lead = lead_of(mine)
    for share in SHARES:
        below = float(np.quantile(lead, share))
        if (same | (lead < below)).mean() >= ENOUGH:
            return below, share
    return None
