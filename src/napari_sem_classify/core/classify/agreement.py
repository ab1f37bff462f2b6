"""How far a dense map agrees with tiles looked at one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.job import Reporter
from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.network.features import features_to
from napari_sem_classify.core.tiles.dense_blocks import HALO_PX, STEP
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

if TYPE_CHECKING:
    from napari_sem_classify.core.model.head import TileClassifier
    from napari_sem_classify.core.network.engine.base import Engine

SAMPLE_TILES = 100
SAMPLE_SHARE = 0.1
LEAST_SAMPLE = 30


def agreement_with_tiles(
    tiles: PlaneTiles,
    engine: Engine,
    intensity: IntensityRange,
    classifier: TileClassifier,
    dense: NDArray[np.float32],
    seed: int = 0,
) -> dict[str, Any]:
    """Look at a random sample of tiles one by one, and compare with a dense map.

    Parameters
    ----------
    dense : float32, shape (tile rows, tile columns, classes)
        Probabilities from dense evaluation; NaN for tiles left out, but not for all.

    Returns
    -------
    dict
        What a record says of a dense map, as plain JSON values: ``approximation`` (a sentence),
        ``taught_dense`` (whether the model was made for it), ``step_network_px`` and
        ``halo_network_px``, ``compared_tiles``, ``same_class`` (share of these with the same
        class, 0 to 1), and the ``mean_difference`` and ``largest_difference`` of a probability.
    """
    grid = tiles.grid
    done = np.flatnonzero(~np.isnan(dense[..., 0]))
    apart = len(done) * (grid.stride / grid.tile) ** 2
    count = int(min(SAMPLE_TILES, max(LEAST_SAMPLE, SAMPLE_SHARE * apart), len(done)))
    keep = np.zeros(grid.n_tiles, dtype=np.bool_)
    keep[np.random.default_rng(seed).choice(done, count, replace=False)] = True
    mine = dense.reshape(grid.n_tiles, -1)
    same, differences = [], []

    def compare(index: NDArray[np.int64], features: NDArray[Any]) -> None:
        single = classifier.head.probabilities(features, classifier.card.temperature)
        same.append(single.argmax(axis=1) == mine[index].argmax(axis=1))
        differences.append(np.abs(single - mine[index]).max(axis=1))

    some = replace(tiles, keep=keep.reshape(grid.tile_shape))
    features_to(some, engine, intensity, compare, Reporter(count, ""))
    agrees, difference = np.concatenate(same), np.concatenate(differences)
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
