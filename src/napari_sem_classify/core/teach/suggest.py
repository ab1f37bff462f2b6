"""Which tiles to annotate next, and which annotations to look at again.

While labels are few a model's doubts mean little: then typical tiles of clusters that hold no label
yet teach most (TypiClust: Hacohen, Dekel, Weinshall 2022). Later the tiles between two classes do
(margin: Scheffer, Decomain, Wrobel 2001), taken from different clusters so that one strange corner
of the image does not fill the list.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.annotate.annotation import UNLABELLED

FEW_PER_CLASS = 8
MAX_CLUSTERS = 300
MIN_CLUSTER = 5
NEIGHBOURS = 20
POOL_FACTOR = 10
SUSPICIOUS = 0.9


def suggest_tiles(
    reduced: NDArray[np.float32],
    labels: NDArray[Any],
    probabilities: NDArray[Any] | None = None,
    n: int = 10,
    seed: int = 0,
    learned: int = 0,
) -> NDArray[np.int64]:
    """Tiles to annotate next, the most useful first.

    Typical ones until there are `FEW_PER_CLASS` labels per class that has any. A model that learned
    from enough tiles of other images is asked at once: on the next specimen its doubtful tiles
    teach more than typical ones (`benchmarks/ten_tiles.py`).

    Parameters
    ----------
    reduced : float32, shape (N, components)
        From `axes.reduce_features`.
    labels : int, shape (N,)
        Class of each tile, or `UNLABELLED`.
    probabilities : float, shape (N, classes), optional
        Of the current model; NaN for tiles that it left out.
    learned : int
        Tiles of all images that this model learned from.

    Returns
    -------
    int64, shape (at most n,)
        Unlabelled tiles, none twice.
    """
    known = labels != UNLABELLED
    n_classes = len(np.unique(labels[known]))
    if probabilities is not None and learned >= FEW_PER_CLASS * probabilities.shape[1]:
        return uncertain_tiles(reduced, labels, probabilities, n, seed)
    few = int(known.sum()) < FEW_PER_CLASS * max(n_classes, 2)
    if probabilities is None or few or n_classes < 2:
        return typical_tiles(reduced, labels, n, seed)
    return uncertain_tiles(reduced, labels, probabilities, n, seed)


def typical_tiles(
    reduced: NDArray[np.float32], labels: NDArray[Any], n: int, seed: int = 0
) -> NDArray[np.int64]:
    """The most typical tile of each of the largest clusters that hold no label.

    There are as many clusters as labels and suggestions together; a tile is typical where its
    neighbours in the cluster are near.
    """
    known = labels != UNLABELLED
    n = min(n, int(np.count_nonzero(~known)))
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    n_clusters = min(int(known.sum()) + n, MAX_CLUSTERS, len(reduced))
    found = cluster(reduced, n_clusters, seed)
    sizes = np.bincount(found, minlength=n_clusters)
    taken = np.bincount(found[known], minlength=n_clusters)
    chosen: list[int] = []
    used = known.copy()
    while len(chosen) < n:
        free = np.bincount(found[~used], minlength=n_clusters) > 0
        # Without a label first, then those that are no mere scatter of outliers, then the largest.
        order = np.lexsort((-sizes, sizes < MIN_CLUSTER, taken, ~free))
        number = int(order[0])
        members = np.flatnonzero(found == number)
        open_ = members[~used[members]]
        best = int(open_[np.argmax(typicality(reduced[members], reduced[open_]))])
        chosen.append(best)
        used[best] = True
        taken[number] += 1
    return np.array(chosen, dtype=np.int64)


def uncertain_tiles(
    reduced: NDArray[np.float32],
    labels: NDArray[Any],
    probabilities: NDArray[Any],
    n: int,
    seed: int = 0,
) -> NDArray[np.int64]:
    """Tiles between two classes, each from another cluster of such tiles."""
    open_ = np.flatnonzero((labels == UNLABELLED) & ~np.isnan(probabilities[:, 0]))
    n = min(n, len(open_))
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    best_two = np.sort(probabilities[open_], axis=1)[:, -2:]
    margin = best_two[:, 1] - best_two[:, 0]
    pool = np.argsort(margin, kind="stable")[: POOL_FACTOR * n]
    found = cluster(reduced[open_[pool]], n, seed)
    # The pool is in order of margin, so the first tile of a cluster is its least certain.
    firsts = np.sort(np.unique(found, return_index=True)[1])
    rest = np.setdiff1d(np.arange(len(pool)), firsts)
    return np.asarray(open_[pool[np.concatenate([firsts, rest])[:n]]], dtype=np.int64)


def suspicious_tiles(labels: NDArray[Any], probabilities: NDArray[Any]) -> NDArray[np.int64]:
    """Annotated tiles that a model which had not seen them puts confidently into another class.

    Confidently means with a probability of at least `SUSPICIOUS`. Gives indices into `labels`, the
    most doubtful first.

    Parameters
    ----------
    labels : int, shape (M,)
        Of the scored tiles: ``annotated[score.scored]``.
    probabilities : float, shape (M, classes)
        Out of fold, from `BlockedScore.probabilities`.
    """
    predicted = probabilities.argmax(axis=1)
    sure = probabilities.max(axis=1)
    found = np.flatnonzero((predicted != labels) & (sure >= SUSPICIOUS))
    return np.asarray(found[np.argsort(-sure[found], kind="stable")], dtype=np.int64)


def cluster(points: NDArray[np.float32], n_clusters: int, seed: int) -> NDArray[np.int64]:
    """Number of the group of each point, (N,); the same points and seed give the same groups."""
    from sklearn.cluster import KMeans, MiniBatchKMeans

    if n_clusters >= len(points):
        return np.arange(len(points), dtype=np.int64)
    # KMeans costs tiles × clusters; above some thousand tiles batches come to the same.
    kind = KMeans if len(points) <= 5000 else MiniBatchKMeans
    model = kind(n_clusters, n_init=1, random_state=seed)
    return np.asarray(model.fit_predict(points), dtype=np.int64)


def typicality(members: NDArray[np.float32], of: NDArray[np.float32]) -> NDArray[np.float64]:
    """One over the mean distance of some members of a group to their nearest neighbours in it."""
    from scipy.spatial import cKDTree

    nearest = min(NEIGHBOURS + 1, len(members))
    if nearest < 2:
        return np.ones(len(of))
    distance, _ = cKDTree(members).query(of, k=nearest)
    return np.asarray(1.0 / (distance[:, 1:].mean(axis=1) + 1e-12), dtype=np.float64)
