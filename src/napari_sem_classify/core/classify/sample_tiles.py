"""Random tiles of the images of a run, on which an arithmetic is measured and checked."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles
from napari_sem_classify.core.tiles.sample import sample_tiles
from napari_sem_classify.core.tiles.tile_source import read_tiles, travel_range

_BATCH = 16


@dataclass(frozen=True, slots=True)
class SampleTiles:
    """Some tiles of an image, uint8 or uint16 of shape (N, tile, tile), and their range."""

    pixels: NDArray[Any]
    intensity: IntensityRange


def samples_of(
    classifier: TileClassifier, images: Sequence[PlaneTiles], count: int, seed: int
) -> list[SampleTiles]:
    """Random tiles of each plane, `count` in all, in random order."""
    generator = np.random.default_rng(seed)
    samples = []
    for each in images:
        tiles = each.seen_by(classifier.card.intensity).in_memory()
        share = -(-count // len(images))
        keep = sample_tiles(tiles, share, generator)
        image, plane = tiles.source
        intensity = tiles.measure(classifier.card.intensity)
        batches = read_tiles(image, tiles.grid, intensity, _BATCH, keep=keep, plane=plane)
        with closing(batches):
            found = [batch.pixels for batch in batches if len(batch.index)]
        if found:
            pixels = np.concatenate(found)
            pixels = pixels[generator.permutation(len(pixels))]
            samples.append(SampleTiles(pixels, travel_range(image, intensity)))
    return samples


def two_parts(
    samples: Sequence[SampleTiles], first_share: float
) -> tuple[list[SampleTiles], list[SampleTiles]]:
    """A share of the tiles of each image, and the others."""
    cuts = [max(1, round(first_share * len(each.pixels))) for each in samples]
    pairs = list(zip(samples, cuts, strict=True))
    first = [replace(each, pixels=each.pixels[:cut]) for each, cut in pairs]
    return first, [replace(each, pixels=each.pixels[cut:]) for each, cut in pairs]


def count_of(samples: Sequence[SampleTiles]) -> int:
    """Number of tiles."""
    return sum(len(each.pixels) for each in samples)
