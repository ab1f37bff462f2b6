"""8-bit arithmetic for a model: measured on the user's own tiles, and only where it keeps classes.

Integers of 8 bits run nearly twice as fast as bfloat16 on CPUs with VNNI, and round so coarsely
that some tiles change class. How many depends on the specimen and on the model, so it is measured:
some of the tiles that are to be classified set the ranges, others are classified in 8 bits and in
float32, and too many changes are a refusal.
Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import DeviceError
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.image.intensity import IntensityRange, measure_range
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.model.plane_scores import alone_probabilities
from napari_sem_classify.core.network.backbone import backbone_info
from napari_sem_classify.core.network.engine.devices import has_openvino
from napari_sem_classify.core.network.engine.factory import load_network
from napari_sem_classify.core.network.engine.network import GreyTrunk, network_input
from napari_sem_classify.core.network.engine.openvino_engine import OpenVinoEngine, int8_companion
from napari_sem_classify.core.network.engine.prepare import stretch_and_resize, to_device
from napari_sem_classify.core.network.engine.quantise import activation_ranges
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.tile_source import read_tiles, travel_range

CALIBRATION_TILES = 64
CHECKED_TILES = 300
LEAST_AGREEMENT = 0.99
_BATCH = 16
_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class SampleTiles:
    """Some tiles of an image, uint8 or uint16 of shape (N, tile, tile), and their range."""

    pixels: NDArray[Any]
    intensity: IntensityRange


def int8_engine(
    classifier: TileClassifier,
    images: Sequence[tuple[SemImage, TileGrid]],
    *,
    seed: int = 0,
    job: Job | None = None,
) -> OpenVinoEngine:
    """Make an engine of 8-bit arithmetic for a model and the images that it is to classify.

    Parameters
    ----------
    images : sequence of (SemImage, TileGrid)
        A few of the images. Of a stack the first plane is used.
    seed : int
        Of the random choice of tiles.
    job : Job, optional
        Told and checked once per batch.

    Returns
    -------
    OpenVinoEngine
        Its `checked` holds ``images``, ``calibration_tiles``, ``checked_tiles``, ``same_class``
        (share with the class that float32 gives, 0 to 1), ``largest_difference`` of a probability
        and ``ranges_sha256``.

    Raises
    ------
    DeviceError
        When OpenVINO is not installed, there are no tiles to measure on, or less than
        `LEAST_AGREEMENT` of the tiles keep their class.
    ImageError, ModelError
        When an image or the weights cannot be read.
    Cancelled
        When the job was asked to stop.
    """
    if not has_openvino():
        raise DeviceError(
            "8-bit arithmetic needs OpenVINO: run pip install 'napari-sem-classify[cpu]', or "
            "leave the arithmetic to the program."
        )
    for_ranges, for_check = _samples(classifier, images, seed)
    n_ranges, n_check = (sum(len(each.pixels) for each in some) for some in (for_ranges, for_check))
    if not n_check:
        raise DeviceError(
            "The images have too few tiles to check 8-bit arithmetic on: leave the arithmetic to "
            "the program."
        )
    reporter = Reporter(n_ranges + 2 * n_check, "Checking 8-bit arithmetic", job)
    card = classifier.card
    network = load_network(card.backbone_id, classifier.trunk)
    seen: dict[str, Any] = {
        "stages": card.stages,
        "scaling": backbone_info(card.backbone_id).scaling,
    }
    trunk = GreyTrunk(network, dtype=int8_companion(), **seen)
    ranges = activation_ranges(trunk, _prepared(for_ranges, card.network_px, reporter))
    del trunk
    seen["network_px"] = card.network_px
    small = OpenVinoEngine(network, dtype="int8", ranges=ranges, **seen)
    exact = OpenVinoEngine(network, **seen)
    mine, truth = (
        _probabilities(classifier, engine, for_check, reporter) for engine in (small, exact)
    )
    same = float((mine.argmax(axis=1) == truth.argmax(axis=1)).mean())
    if same < LEAST_AGREEMENT:
        raise DeviceError(
            f"In 8-bit arithmetic only {same:.1%} of {n_check} tiles keep the class that this "
            f"model gives them, and {LEAST_AGREEMENT:.0%} are asked: leave the arithmetic to the "
            "program."
        )
    small.checked = {
        "images": [image.name for image, _ in images],
        "calibration_tiles": n_ranges,
        "checked_tiles": n_check,
        "same_class": round(same, 4),
        "largest_difference": round(float(np.abs(mine - truth).max()), 4),
        "ranges_sha256": hashlib.sha256(json.dumps(ranges, sort_keys=True).encode()).hexdigest(),
    }
    return small


def _prepared(
    samples: Sequence[SampleTiles], network_px: int, reporter: Reporter
) -> Iterator[torch.Tensor]:
    """Network input of tiles, as 8-bit arithmetic gets it, in float32."""
    for each in samples:
        for start in range(0, len(each.pixels), _BATCH):
            raw = to_device(each.pixels[start : start + _BATCH], _CPU)
            grey = stretch_and_resize(raw, each.intensity, network_px)
            yield network_input(grey, int8_companion()).to(torch.float32)
            reporter.advance(len(raw))


def _samples(
    classifier: TileClassifier, images: Sequence[tuple[SemImage, TileGrid]], seed: int
) -> tuple[list[SampleTiles], list[SampleTiles]]:
    """Random tiles of each image: some for the ranges, others for the check."""
    generator = np.random.default_rng(seed)
    for_ranges, for_check = [], []
    share = -(-(CALIBRATION_TILES + CHECKED_TILES) // max(1, len(images)))
    first_share = CALIBRATION_TILES / (CALIBRATION_TILES + CHECKED_TILES)
    for image, grid in images:
        plane = (0,) * len(image.leading_shape)
        intensity = measure_range(image, classifier.card.intensity, plane)
        keep = np.zeros(grid.n_tiles, dtype=np.bool_)
        keep[generator.choice(grid.n_tiles, min(share, grid.n_tiles), replace=False)] = True
        chosen = keep.reshape(grid.tile_shape)
        batches = read_tiles(image, grid, intensity, 64, keep=chosen, plane=plane)
        with closing(batches):
            found = [batch.pixels for batch in batches if len(batch.index)]
        if not found:
            continue
        pixels = np.concatenate(found)[generator.permutation(sum(map(len, found)))]
        cut = max(1, round(first_share * len(pixels)))
        travelled = travel_range(image, intensity)
        for_ranges.append(SampleTiles(pixels[:cut], travelled))
        for_check.append(SampleTiles(pixels[cut:], travelled))
    return for_ranges, for_check


def _probabilities(
    classifier: TileClassifier,
    engine: OpenVinoEngine,
    samples: Sequence[SampleTiles],
    reporter: Reporter,
) -> NDArray[np.float32]:
    found = []
    for each in samples:
        for start in range(0, len(each.pixels), engine.batch_size):
            some = each.pixels[start : start + engine.batch_size]
            features = engine.embed(some, each.intensity)
            found.append(alone_probabilities(classifier, features))
            reporter.advance(len(some))
    return np.concatenate(found)
