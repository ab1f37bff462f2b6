"""Which annotated tiles to learn from and which to score on, so that a score is honest.

Tiles of one image look alike and neighbouring tiles almost the same: a random split would score
memory. Whole images are kept together where there are enough of them; else the image is divided
into blocks of several tiles, and tiles within half a tile of a scored one are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.evaluate.dataset_split import (
    OTHER_IMAGES,
    OTHER_PLACES,
    OTHER_SPECIMENS,
    PLACES_OF_IMAGES,
)

N_FOLDS = 5
MIN_GROUPS = 3
MIN_BLOCKS = 4
MIN_GROUPS_PER_CLASS = 2
MIN_SCORED = 20
BLOCK_TILES = 2
BUFFER_TILES = 0.5


@dataclass(frozen=True, slots=True)
class TilePlaces:
    """Where tiles lie.

    Attributes
    ----------
    image : int64, shape (N,)
        Number of the image.
    y, x : int64, shape (N,)
        First row and column of the tile, in pixels.
    stacked : bool
        Whether images are stacks whose planes lie over one another: tiles at the same place of
        several planes then fall into the same block.
    """

    image: NDArray[np.int64]
    y: NDArray[np.int64]
    x: NDArray[np.int64]
    tile_px: int
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Fold:
    """Indices of the tiles to learn from and of those to score."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Folds:
    """A split in which every tile is scored once, by a model that saw nothing near it.

    Attributes
    ----------
    blocks : int64, shape (N,)
        Number of the image or block that each tile belongs to.
    how : str
        For the user: "by image (12 images, 5 folds)".
    speaks_for : str
        What a score on it tells of: `OTHER_SPECIMENS`, `OTHER_IMAGES` or other places.
    """

    folds: tuple[Fold, ...]
    blocks: NDArray[np.int64]
    how: str
    speaks_for: str = ""

    @property
    def whole(self) -> bool:
        """Whether whole images or specimens are left out, not blocks of them."""
        return self.speaks_for in (OTHER_SPECIMENS, OTHER_IMAGES)

    def with_copies(self, of: NDArray[np.int64]) -> Folds:
        """The same split with copies after the tiles, `of` a tile each.

        Copies are learned from where their tile is, and never scored.
        """
        n = len(self.blocks)
        folds = tuple(
            Fold(np.append(fold.train, n + np.flatnonzero(np.isin(of, fold.train))), fold.test)
            for fold in self.folds
        )
        return replace(self, folds=folds)


def plan_folds(
    labels: NDArray[Any],
    class_names: tuple[str, ...],
    *,
    specimens: NDArray[Any] | None = None,
    groups: NDArray[Any] | None = None,
    places: TilePlaces | None = None,
    block_tiles: int = BLOCK_TILES,
) -> Folds | str:
    """Split annotated tiles by specimen, else image, else blocks; or say why there is no split.

    Why is one sentence for the user, where there are too few groups and too few blocks.

    Parameters
    ----------
    labels : int, shape (N,)
        Class of each tile.
    specimens, groups : shape (N,), optional
        The specimen and the image of each tile; at least `MIN_GROUPS` of them are needed, and each
        class in at least `MIN_GROUPS_PER_CLASS`.
    places : TilePlaces, optional
        Where the tiles lie, for blocks and buffers.
    block_tiles : int
        Tiles along a side of a block.
    """
    labels = np.asarray(labels, dtype=np.int64)
    ways: list[tuple[NDArray[np.int64], str, int, TilePlaces | None]] = []
    for known, word in ((specimens, "specimen"), (groups, "image")):
        if known is not None:
            numbers = np.unique(np.asarray(known), return_inverse=True)[1].astype(np.int64)
            ways.append((numbers, word, MIN_GROUPS, None))
    if places is not None:
        ways.append((spatial_blocks(places, block_tiles), "block", MIN_BLOCKS, places))
    why = "the annotated tiles come without their places, so they cannot be split into blocks"
    for numbers, word, needed, apart in ways:
        why = _too_few(labels, numbers, class_names, needed, word)
        if not why:
            folds = _grouped(labels, numbers, len(class_names), apart)
            why = _too_few_scored(folds, len(labels))
        if not why:
            count = f"{len(np.unique(numbers))} {word}s"
            how = f"by {word} ({count}, {len(folds)} folds)"
            if apart is not None:
                count += " through all planes" * apart.stacked
                how = f"by spatial blocks ({count}, {len(folds)} folds, buffer of half a tile)"
            return Folds(folds, numbers, how, _speaks_for(word, places))
    return f"No score can be given: {why}; annotate tiles in more places or in more images."


def _speaks_for(word: str, places: TilePlaces | None) -> str:
    if word == "block" and places is not None:
        return PLACES_OF_IMAGES if len(np.unique(places.image)) > 1 else OTHER_PLACES
    return OTHER_SPECIMENS if word == "specimen" else OTHER_IMAGES


def spatial_blocks(places: TilePlaces, block_tiles: int = BLOCK_TILES) -> NDArray[np.int64]:
    """Number of the block, `block_tiles` tiles high and wide, that holds each tile's centre."""
    side = places.tile_px * block_tiles
    half = places.tile_px // 2
    keys = np.stack([places.image, (places.y + half) // side, (places.x + half) // side], axis=1)
    return np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _too_few(
    labels: NDArray[np.int64],
    numbers: NDArray[np.int64],
    class_names: tuple[str, ...],
    needed: int,
    word: str,
) -> str:
    n_groups = len(np.unique(numbers))
    if n_groups < needed:
        count = f"one {word} is" if n_groups == 1 else f"{n_groups} {word}s are"
        return f"{count} too few for a cross-validation"
    for index in np.unique(labels):
        if len(np.unique(numbers[labels == index])) < MIN_GROUPS_PER_CLASS:
            return f'the class "{class_names[index]}" is annotated in one {word} only'
    return ""


def _too_few_scored(folds: tuple[Fold, ...], n_tiles: int) -> str:
    scored = sum(len(fold.test) for fold in folds)
    if n_tiles < MIN_SCORED:
        return f"{n_tiles} annotated tiles are too few, it takes at least {MIN_SCORED}"
    if scored < max(MIN_SCORED, n_tiles / 2):
        return (
            f"only {scored} of {n_tiles} annotated tiles can be scored, "
            "as the others lie too close together"
        )
    return ""


def _grouped(
    labels: NDArray[np.int64], numbers: NDArray[np.int64], n_classes: int, places: TilePlaces | None
) -> tuple[Fold, ...]:
    fold_of = _deal(labels, numbers, n_classes)[numbers]
    folds = []
    for fold in np.unique(fold_of):
        test = np.flatnonzero(fold_of == fold)
        train = np.flatnonzero(fold_of != fold)
        if places is not None:
            train = train[~_near(places, train, test)]
        if len(np.unique(labels[train])) >= 2:
            folds.append(Fold(train, test))
    return tuple(folds)


def _deal(
    labels: NDArray[np.int64], numbers: NDArray[np.int64], n_classes: int
) -> NDArray[np.int64]:
    """Deal groups to folds so that each holds about the same share of each class."""
    counts = np.zeros((numbers.max() + 1, n_classes))
    np.add.at(counts, (numbers, labels), 1)
    shares = counts / np.maximum(counts.sum(axis=0), 1)
    n_folds = min(N_FOLDS, len(counts))
    held = np.zeros((n_folds, n_classes))
    fold_of = np.zeros(len(counts), dtype=np.int64)
    # The largest groups first: they are the hardest to place.
    for group in np.argsort(-shares.max(axis=1), kind="stable"):
        cost = ((held + shares[group]) ** 2).sum(axis=1) - (held**2).sum(axis=1)
        # Of equally good folds the emptiest, so that none stays without tiles.
        fold = int(np.lexsort((held.sum(axis=1), np.round(cost, 12)))[0])
        held[fold] += shares[group]
        fold_of[group] = fold
    return fold_of


def _near(
    places: TilePlaces, candidates: NDArray[np.int64], others: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether each candidate tile comes within the buffer's width of one of the others."""
    from scipy.spatial import cKDTree

    near = np.zeros(len(candidates), dtype=bool)
    reach = (1 + BUFFER_TILES) * places.tile_px - 1
    points = np.stack([places.y, places.x], axis=1)
    for image in np.unique(places.image[others]):
        mine = others[places.image[others] == image]
        here = places.image[candidates] == image
        distance, _ = cKDTree(points[mine]).query(points[candidates[here]], p=np.inf)
        near[here] = distance <= reach
    return near
