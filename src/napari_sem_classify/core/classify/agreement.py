"""How far a dense map agrees with tiles looked at one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sem_classify.core.common.job import Reporter
from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.model.surroundings import ALONE
from napari_sem_classify.core.network.features import features_to
from napari_sem_classify.core.tiles.dense_blocks import HALO_PX, STEP
from napari_sem_classify.core.tiles.neighbours import Neighbours
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

if TYPE_CHECKING:
    from napari_sem_classify.core.model.head import TileClassifier
    from napari_sem_classify.core.model.plane_scores import PlaneScores
    from napari_sem_classify.core.network.engine.base import Engine

SAMPLE_TILES = 100
SAMPLE_SHARE = 0.1
LEAST_SAMPLE = 30


def agreement_with_tiles(
    tiles: PlaneTiles,
    engine: Engine,
    intensity: IntensityRange,
    classifier: TileClassifier,
    dense: PlaneScores,
    seed: int = 0,
) -> dict[str, Any]:
    """Look at a random sample of tiles one by one, and compare with a dense map.

    Parameters
    ----------
    dense : PlaneScores
        From dense evaluation, of one tile at least.

    Returns
    -------
    dict
        What a record says of a dense map, as plain JSON values: ``approximation`` (a sentence),
        ``taught_dense`` (whether the model was made for it), ``step_network_px`` and
        ``halo_network_px``, ``compared_tiles``, ``same_class`` (share of these with the same
        class, 0 to 1), and the ``mean_difference`` and ``largest_difference`` of a probability.
    """
    grid = tiles.grid
    done = np.flatnonzero(dense.known)
    apart = len(done) * (grid.stride / grid.tile) ** 2
    count = int(min(SAMPLE_TILES, max(LEAST_SAMPLE, SAMPLE_SHARE * apart), len(done)))
    chosen = np.random.default_rng(seed).choice(done, count, replace=False)
    looked_at = np.zeros(grid.n_tiles, dtype=np.bool_)
    looked_at[chosen] = True
    if classifier.card.surroundings != ALONE:
        beside = Neighbours.on(grid).of(chosen)
        looked_at[np.intersect1d(beside[beside >= 0], done)] = True
    single = dense.copy()
    some = replace(tiles, keep=looked_at.reshape(grid.tile_shape))
    features_to(some, engine, intensity, single.add, Reporter(some.count, ""))
    mine, others = (
        each.probabilities().reshape(grid.n_tiles, -1)[chosen] for each in (dense, single)
    )
    agrees = mine.argmax(axis=1) == others.argmax(axis=1)
    difference = np.abs(mine - others).max(axis=1)
    share = float(agrees.mean())
    return {
        "approximation": (
            f"dense: the network looked at large blocks instead of single tiles; {share:.0%} of "
            f"{len(agrees)} tiles looked at one by one have the same class"
        ),
        "taught_dense": classifier.card.dense,
        "step_network_px": STEP,
        "halo_network_px": HALO_PX,
        "compared_tiles": len(agrees),
        "same_class": round(share, 4),
        "mean_difference": round(float(difference.mean()), 4),
        "largest_difference": round(float(difference.max()), 4),
    }
