"""Which images to learn from and which to score on, so that no place is on both sides.

Images of one group or of one cluster of near-duplicates stay together. A class that is one single
cluster, such as the frames of one scanned strip, is cut across the strip: one end is scored, and
the frames that overlap it are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import DatasetError
from napari_sem_classify.core.evaluate.duplicates import clusters

OTHER_SPECIMENS = "other specimens"
OTHER_IMAGES = "other images of these specimens"
OTHER_PLACES = "other places of this image"
PLACES_OF_IMAGES = "other places of these images"
"""What a score speaks for, the most telling first."""

LEAST_SPECIMENS = 3
"""Fewer are not held out whole: too little would be left to learn from."""

VALID_SHARE = 0.2
TEST_SHARE = 0.2
ENOUGH_FOR_TEST = 5
"""Clusters in every class from which a third part is held back that chooses nothing."""

LEAST_TO_LEARN = 1 / 3
"""Share of a strip's frames that has to stay in training; else it is not cut and not scored."""

_RANDOM_DRAWS = 50
_TRAIN, _VALID, _TEST, _NOWHERE = 0, 1, 2, 3
_PARTS = {"train": _TRAIN, "valid": _VALID, "test": _TEST}


@dataclass(frozen=True, slots=True)
class Split:
    """Numbers of the images on each side.

    Attributes
    ----------
    train, valid, test : int64
        Images to learn from, to choose the best weights and the temperature on, and to score on
        at the very end. `test` is empty where there are too few images for three parts; then the
        score is that of `valid`.
    buffer : int64
        Images that overlap a held-out one and are used nowhere.
    how : str
        For the user: "by 40 clusters of images".
    random_leak : float
        Share of the held-out images that would have had a near-duplicate in training, had the
        images been split at random; 0 to 1.
    notes : tuple of str
        What the user should know, a sentence each.
    speaks_for : str
        What a score on it tells of: other specimens, other images or other places.
    """

    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    test: NDArray[np.int64]
    buffer: NDArray[np.int64]
    how: str
    random_leak: float
    notes: tuple[str, ...] = ()
    speaks_for: str = ""

    @property
    def scored(self) -> NDArray[np.int64]:
        """The images that the final score is measured on."""
        return self.test if len(self.test) else self.valid

    def leaks(self, pairs: NDArray[np.int64]) -> int:
        """How many held-out images show a place that is in training too."""
        held = np.concatenate([self.valid, self.test])
        return len(np.intersect1d(_neighbours(pairs, self.train), held))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a record."""
        return {
            "how": self.how,
            "speaks_for": self.speaks_for,
            "images": {
                "train": len(self.train),
                "valid": len(self.valid),
                "test": len(self.test),
                "left_out_beside_held_out_ones": len(self.buffer),
            },
            "leak_of_a_random_split": self.random_leak,
            "notes": list(self.notes),
        }


def plan_split(
    labels: NDArray[Any],
    class_names: Sequence[str],
    pairs: NDArray[np.int64],
    *,
    groups: Sequence[str] | None = None,
    parts: Sequence[str | None] | None = None,
    test: bool | None = None,
    seed: int = 0,
) -> Split:
    """Split images by cluster, with about the same share of every class on each side.

    Parameters
    ----------
    labels : int, shape (N,)
        Class of each image.
    pairs : int64, shape (pairs, 2)
        Images that show the same place, from `near_duplicates`.
    groups : sequence of str, optional
        Specimen of each image, "" where unknown.
    parts : sequence of str, optional
        A split that the user gives: "train", "valid" or "test" for every image.
    test : bool, optional
        Whether to hold back a third part; where None, if every class has `ENOUGH_FOR_TEST`
        clusters.
    seed : int
        Of the order in which equal clusters are dealt.

    Raises
    ------
    DatasetError
        When fewer than two classes could be scored on images that are not in training.
    """
    labels = np.asarray(labels, dtype=np.int64)
    generator = np.random.default_rng(seed)
    notes: list[str] = []
    if parts is not None and any(parts):
        place = np.array([_PARTS[part or "train"] for part in parts], dtype=np.int64)
        how, speaks_for = "as the table says", ""
    else:
        place, how, speaks_for = _by_clusters(
            labels, class_names, pairs, groups, test, generator, notes
        )
    held = np.isin(place, (_VALID, _TEST))
    split = Split(
        train=np.flatnonzero(place == _TRAIN),
        valid=np.flatnonzero(place == _VALID),
        test=np.flatnonzero(place == _TEST),
        buffer=np.flatnonzero(place == _NOWHERE),
        how=how,
        random_leak=_random_leak(len(labels), pairs, float(held.mean()), generator),
        notes=tuple(notes),
        speaks_for=speaks_for,
    )
    _check(split, labels, class_names)
    leaks = split.leaks(pairs)
    if leaks:
        more = f"{leaks} held-out images show a place that is in training too, as the table says."
        split = replace(split, notes=(*split.notes, more))
    return split


def random_split(
    labels: NDArray[Any],
    class_names: Sequence[str],
    pairs: NDArray[np.int64],
    *,
    seed: int = 0,
) -> Split:
    """Split images one by one, as most of the literature does: one place may be on both sides.

    Its score stands beside published ones, and is higher than other images will have. The
    parameters are those of `plan_split`; `Split.random_leak` is that of this very split.

    Raises
    ------
    DatasetError
        When fewer than two classes could be scored.
    """
    found = plan_split(labels, class_names, np.empty((0, 2), np.int64), seed=seed)
    held = len(found.valid) + len(found.test)
    leak = found.leaks(pairs) / held
    return replace(found, how="image by image, at random", random_leak=leak, speaks_for="")


def _by_clusters(
    labels: NDArray[np.int64],
    class_names: Sequence[str],
    pairs: NDArray[np.int64],
    groups: Sequence[str] | None,
    test: bool | None,
    generator: np.random.Generator,
    notes: list[str],
) -> tuple[NDArray[np.int64], str, str]:
    n_classes = len(class_names)
    together = clusters(len(labels), pairs, groups)
    by_place = clusters(len(labels), pairs)
    lonely = [k for k in range(n_classes) if len(np.unique(together[labels == k])) == 1]
    for k in lonely:
        mine = np.flatnonzero(labels == k)
        if len(np.unique(by_place[mine])) > 1:
            # One specimen only: at least no place of it is on both sides.
            together[mine] = by_place[mine] + len(labels)
            notes.append(
                f"{class_names[k]} comes from one specimen only: its score means another place of "
                "the same specimen."
            )
    per_class = [len(np.unique(together[labels == k])) for k in range(n_classes)]
    if test is None:
        test = min(per_class) >= ENOUGH_FOR_TEST
    strips = [k for k in range(n_classes) if per_class[k] == 1 and np.sum(labels == k) > 1]
    alone = [k for k in range(n_classes) if np.sum(labels == k) == 1]
    place = _deal(labels, together, n_classes, test, generator)
    for k in strips:
        mine = np.flatnonzero(labels == k)
        inside = np.isin(pairs, mine).all(axis=1) if len(pairs) else np.zeros(0, dtype=bool)
        place[mine] = _cut_strip(mine, pairs[inside], generator)
    if alone:
        some = ", ".join(class_names[k] for k in alone[:5]) + (" ..." if len(alone) > 5 else "")
        notes.append(f"Classes with one image are learned but not scored: {some}.")
    uncut = [class_names[k] for k in strips if (place[labels == k] == _TRAIN).all()]
    if uncut:
        notes.append(
            f"Too many images of {', '.join(uncut)} overlap one another to hold some out: "
            "learned but not scored."
        )
    cut = [class_names[k] for k in strips if class_names[k] not in uncut]
    if cut:
        notes.append(
            f"The images of {', '.join(cut)} are one strip of overlapping frames: one end is "
            "scored, and frames that overlap it are left out."
        )
    how = f"by {len(np.unique(together))} clusters of images"
    if lonely or strips:
        return place, how, PLACES_OF_IMAGES
    known = groups is not None and all(groups) and len(set(groups)) >= LEAST_SPECIMENS
    return place, how, OTHER_SPECIMENS if known else OTHER_IMAGES


def _deal(
    labels: NDArray[np.int64],
    cluster: NDArray[np.int64],
    n_classes: int,
    test: bool,
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Part of each image; every class with two clusters or more has one to learn and one held."""
    numbers = np.unique(cluster, return_inverse=True)[1]
    counts = np.zeros((numbers.max() + 1, n_classes))
    np.add.at(counts, (numbers, labels), 1)
    shares = counts / np.maximum(counts.sum(axis=0), 1)
    targets = np.array([1 - VALID_SHARE - TEST_SHARE * test, VALID_SHARE, TEST_SHARE * test])
    parts = 3 if test else 2
    held = np.zeros((parts, n_classes))
    part_of = np.zeros(len(counts), dtype=np.int64)
    order = generator.permutation(len(counts))
    order = order[np.argsort(-shares[order].max(axis=1), kind="stable")]
    for group in order:
        over = np.maximum(held - targets[:parts, None], 0)
        over_after = np.maximum(held + shares[group] - targets[:parts, None], 0)
        gap = (over_after**2 - over**2).sum(axis=1)
        lack = ((targets[:parts, None] - held) * (shares[group] > 0)).sum(axis=1)
        part = int(np.lexsort((-lack, np.round(gap, 9)))[0])
        held[part] += shares[group]
        part_of[group] = part
    for part in range(1, parts):
        for k in range(n_classes):
            mine = np.flatnonzero(counts[:, k] > 0)
            in_train = mine[part_of[mine] == _TRAIN]
            if not (part_of[mine] == part).any() and len(in_train) >= 2:
                part_of[in_train[np.argmin(counts[in_train].sum(axis=1))]] = part
    for k in range(n_classes):
        mine = np.flatnonzero(counts[:, k] > 0)
        if not (part_of[mine] == _TRAIN).any():
            part_of[mine[np.argmax(counts[mine, k])]] = _TRAIN
    return part_of[numbers]


def _cut_strip(
    mine: NDArray[np.int64], pairs: NDArray[np.int64], generator: np.random.Generator
) -> NDArray[np.int64]:
    """Part of each image of one chain of overlapping images: an end held out, a buffer dropped."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import shortest_path

    count = len(mine)
    number = {int(image): index for index, image in enumerate(mine)}
    links = np.array([[number[int(a)], number[int(b)]] for a, b in pairs], np.int64).reshape(-1, 2)
    graph = csr_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(count, count))
    steps = shortest_path(graph, directed=False, unweighted=True)
    # The two images farthest from one another are the ends; chance says which end is scored.
    ends = np.array(np.unravel_index(np.argmax(np.where(np.isinf(steps), -1, steps)), steps.shape))
    start, other = ends[generator.permutation(2)]
    order = np.lexsort((-steps[other], steps[start]))
    for n_held in range(max(1, round(VALID_SHARE * count)), 0, -1):
        held = order[:n_held]
        place = np.full(count, _TRAIN)
        place[(steps[held] <= 1).any(axis=0)] = _NOWHERE
        place[held] = _VALID
        if np.sum(place == _TRAIN) >= LEAST_TO_LEARN * count:
            return place
    return np.full(count, _TRAIN)


def _random_leak(
    count: int, pairs: NDArray[np.int64], share: float, generator: np.random.Generator
) -> float:
    """Mean share of held-out images with a near-duplicate in training, over random splits."""
    held = max(1, round(share * count))
    found = []
    for _ in range(_RANDOM_DRAWS):
        order = generator.permutation(count)
        found.append(len(np.intersect1d(_neighbours(pairs, order[held:]), order[:held])) / held)
    return float(np.mean(found))


def _neighbours(pairs: NDArray[np.int64], images: NDArray[np.int64]) -> NDArray[np.int64]:
    """Images that show the same place as one of these."""
    if not len(pairs):
        return np.empty(0, dtype=np.int64)
    first, second = np.isin(pairs[:, 0], images), np.isin(pairs[:, 1], images)
    return np.union1d(pairs[first, 1], pairs[second, 0])


def _check(split: Split, labels: NDArray[np.int64], class_names: Sequence[str]) -> None:
    for k, name in enumerate(class_names):
        if not (labels[split.train] == k).any():
            raise DatasetError(f"No image of {name} is left to learn from: add images of it.")
    if len(np.unique(labels[split.valid])) < 2:
        raise DatasetError(
            "Fewer than two classes have images to score on that are not also learned from: "
            "add images of other places or specimens."
        )
