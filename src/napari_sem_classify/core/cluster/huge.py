"""A huge image in blocks of tiles: laid out before a run on a cluster, put together after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sem_classify.core.batch.batch_outcome import ImageOutcome
from napari_sem_classify.core.batch.batch_state import BatchTarget
from napari_sem_classify.core.batch.classify_many import write_maps
from napari_sem_classify.core.classify.int8_memory import ranges_from
from napari_sem_classify.core.classify.options import ClassifyOptions, GridChoice
from napari_sem_classify.core.cluster.tile_store import (
    STORE_ENDING,
    Block,
    TileStore,
    blocks_of,
)
from napari_sem_classify.core.cluster.worker import EngineFacts
from napari_sem_classify.core.common.checked import Fields, Malformed
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.model.plane_scores import raw_numbers, scores_on
from napari_sem_classify.core.outlines.options import OutlineOptions
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_sem_classify.core.image.intensity import IntensityRange
    from napari_sem_classify.core.image.sem_image import SemImage
    from napari_sem_classify.core.maps.class_map import ClassMap

BLOCK_TILES = 64
"""Side of a block in tiles: half a minute of a CPU, half a second of a large GPU."""
HUGE_BYTES = 256 << 20
"""Files up to this size are classified whole; of larger ones and of zarrs the tiles are counted."""


@dataclass(slots=True)
class HugeImage:
    """An image whose blocks are under way: those that wait, and with what the others were done."""

    path: Path
    stem: str
    image: SemImage
    choice: GridChoice
    ranges: dict[tuple[int, ...], IntensityRange]
    store: TileStore
    waiting: set[Block]
    engines: set[EngineFacts] = field(default_factory=set)
    outlines: OutlineOptions | None = None
    in_8_bits: dict[str, Any] | None = None
    """Its arithmetic where that is 8 bits, from `arithmetic_for`: one for all of its blocks."""

    def take(self, block: Block, found: NDArray[np.float32], engine: EngineFacts) -> None:
        """Keep what a worker found in a block; raises as the store does."""
        self.store.write(block, found)
        if engine not in self.engines:
            self.engines.add(engine)
            self.store.note(engines=[one.told() for one in self.engines])
        self.waiting.discard(block)


def plan_huge(
    path: Path,
    stem: str,
    classifier: TileClassifier,
    target: BatchTarget,
    options: ClassifyOptions,
    settings: str,
    in_8_bits: dict[str, Any] | None = None,
    has_8_bits: bool = True,
) -> HugeImage | None:
    """Open an image that may be huge and lay its blocks; None for one to classify whole.

    Blocks of an earlier run are kept with the arithmetic in which they were made: the others follow
    in the same. They are done anew where that is not known, or not there any more.

    Parameters
    ----------
    settings : str
        Its `batch_digest`.
    in_8_bits : dict, optional
        The arithmetic of this run, from `arithmetic_for`.
    has_8_bits : bool
        Whether all workers have 8-bit arithmetic.

    Raises
    ------
    ImageError, GridError
        When it cannot be opened or the tiles do not fit.
    OutputError
        When the folder cannot be written.
    """
    from napari_sem_classify.core.image.image_key import file_state
    from napari_sem_classify.core.sem_io import open_for_scale

    if path.is_file() and path.stat().st_size <= HUGE_BYTES:
        return None
    if options.dense or options.skip_flat:
        return None  # what these look at is laid over the whole image
    card = classifier.card
    image = open_for_scale(path, card.pixel_size_nm)
    choice = options.grid_for(image, card)
    grid = choice.grid
    planes = list(image.planes())
    if grid.n_tiles * len(planes) <= BLOCK_TILES**2:
        return None
    whole = {
        plane: PlaneTiles(image, grid, plane=plane).seen_by(card.intensity) for plane in planes
    }
    ranges = {plane: tiles.measure(card.intensity) for plane, tiles in whole.items()}
    facts = {
        "settings": settings,
        "image": sha256(file_state(path).encode()).hexdigest(),
        "level": image.level,
    }
    numbers = raw_numbers(len(card.classes), card.surroundings, classifier.stages)
    shape = (*image.leading_shape, *grid.tile_shape, numbers)
    store = TileStore(target.folder, stem, shape, BLOCK_TILES, facts, target.resume)
    blocks = [block for plane in planes for block in blocks_of(grid, BLOCK_TILES, plane)]
    if not _goes_on(store, has_8_bits):
        store.begin_anew()
    made = store.notes
    if not made:
        made = {"in_8_bits": in_8_bits, "engines": []}
        store.note(**made)
    waiting = {block for block in blocks if not store.has(block)}
    done = {EngineFacts.of(one) for one in made["engines"]}
    outlines, arithmetic = options.outlines, made["in_8_bits"]
    return HugeImage(path, stem, image, choice, ranges, store, waiting, done, outlines, arithmetic)


def _goes_on(store: TileStore, has_8_bits: bool) -> bool:
    """Whether the blocks of an earlier run can be gone on with in their own arithmetic."""
    try:
        made = Fields.of(store.notes)
        for one in made.items("engines"):
            for name in ("backend", "device", "dtype"):
                Fields.of(one).text(name)
        if made.given("in_8_bits") is None:
            return True
        arithmetic = made.object("in_8_bits")
        ranges_from(arithmetic.given("ranges"))
        arithmetic.text("ranges_sha256")
        return has_8_bits
    except Malformed:
        return False


def finish_huge(
    huge: HugeImage, classifier: TileClassifier, target: BatchTarget, seconds: float
) -> ImageOutcome:
    """Write the files of an image all of whose blocks are there.

    Raises
    ------
    OutputError, ImageError
        When they cannot be written, or the image not be read for its picture.
    """
    image, grid = huge.image, huge.choice.grid
    outcome = write_maps(_maps(huge, classifier, seconds), image, huge.choice, huge.stem, target)
    about = {
        "classes": list(classifier.card.class_names),
        "area": grid.area.as_list(),
        "tile_px": grid.tile,
        "stride_px": grid.stride,
        "pixel_size_nm": image.pixel_size_nm,
    }
    found = (
        (plane, scores_on(classifier, grid, huge.store.read(plane)).probabilities())
        for plane in huge.ranges
    )
    huge.store.finish(target.folder / f"{huge.stem}{STORE_ENDING}", found, about)
    return replace(outcome, path=huge.path)


def _maps(huge: HugeImage, classifier: TileClassifier, seconds: float) -> Iterator[ClassMap]:
    """A map of each plane, from what the workers found in its blocks."""
    from napari_sem_classify.core.classify.driver import map_of_tiles
    from napari_sem_classify.core.outlines.outline import with_outlines

    engine = _together(huge.engines, huge.in_8_bits)
    more = {"features_from_cache": False, "seconds": seconds, "cluster": True}
    for plane, reach in huge.ranges.items():
        tiles = PlaneTiles(huge.image, huge.choice.grid, plane=plane)
        tiles = tiles.seen_by(classifier.card.intensity)
        scores = scores_on(classifier, tiles.grid, huge.store.read(plane))
        class_map = map_of_tiles(tiles, classifier, scores, reach, engine, more)
        if huge.outlines is not None:
            class_map = with_outlines(class_map, huge.image, huge.outlines)
        yield class_map


def _together(engines: set[EngineFacts], in_8_bits: dict[str, Any] | None) -> EngineFacts:
    """Name the engines of all workers."""
    told = ("backend", "device", "dtype")
    each = [sorted({getattr(one, name) for one in engines}) for name in told]
    backend, device, dtype = (", ".join(names) or "not known" for names in each)
    return EngineFacts(backend, device, dtype, in_8_bits)
