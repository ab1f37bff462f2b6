"""A huge image in blocks of tiles: laid out before a run on a cluster, put together after it."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sem_classify.core.batch import classify_many as batch
from napari_sem_classify.core.batch.classify_many import GridWish, ImageOutcome
from napari_sem_classify.core.cluster.tasks import EngineFacts
from napari_sem_classify.core.cluster.tile_store import Block, TileStore, blocks_of
from napari_sem_classify.core.model.head import TileClassifier

if TYPE_CHECKING:
    from napari_sem_classify.core.classify.grid_choice import GridChoice
    from napari_sem_classify.core.image.intensity import IntensityRange
    from napari_sem_classify.core.image.sem_image import SemImage

BLOCK_TILES = 64
"""Side of a block in tiles: half a minute of a CPU, half a second of a large GPU."""
HUGE_BYTES = 256 << 20
"""Files up to this size are classified whole; of larger ones and of zarrs the tiles are counted."""


@dataclass(slots=True)
class HugeImage:
    """An image whose blocks are under way.

    Attributes
    ----------
    path : Path
    stem : str
        Start of the names of its files.
    image : SemImage
    choice : GridChoice
    ranges : dict
        Intensity range of each plane.
    store : TileStore
    waiting : set of Block
        Those that are not done.
    engines : set of EngineFacts
        With what the others were done, in this run.
    """

    path: Path
    stem: str
    image: SemImage
    choice: GridChoice
    ranges: dict[tuple[int, ...], IntensityRange]
    store: TileStore
    waiting: set[Block]
    engines: set[EngineFacts] = field(default_factory=set)


def plan_huge(
    path: Path,
    stem: str,
    classifier: TileClassifier,
    out: Path,
    wish: GridWish,
    settings: str,
    resume: bool,
) -> HugeImage | None:
    """Open an image that may be huge and lay its blocks; None for one to classify whole.

    Parameters
    ----------
    path, classifier, out, wish, resume
        As for `batch.classify_many`.
    stem : str
    settings : str
        From `batch_state.settings_digest`.

    Raises
    ------
    ImageError, GridError
        When it cannot be opened or the tiles do not fit.
    OutputError
        When the folder cannot be written.
    """
    from napari_sem_classify.core.classify.grid_choice import grid_for_model
    from napari_sem_classify.core.image.image_key import file_state
    from napari_sem_classify.core.image.intensity import measure_range
    from napari_sem_classify.core.sem_io import open_for_scale

    if path.is_file() and path.stat().st_size <= HUGE_BYTES:
        return None
    if wish.dense or wish.skip_flat:
        return None  # what these look at is laid over the whole image
    card = classifier.card
    image = open_for_scale(path, card.pixel_size_nm)
    choice = grid_for_model(image, card, wish.tile_px, wish.tile_um, wish.stride_px, wish.overlap)
    grid = choice.grid
    planes = list(image.planes())
    if grid.n_tiles * len(planes) <= BLOCK_TILES**2:
        return None
    ranges = {plane: measure_range(image, card.intensity, plane) for plane in planes}
    facts = {
        "settings": settings,
        "image": sha256(file_state(path).encode()).hexdigest(),
        "level": image.level,
    }
    shape = (*image.leading_shape, *grid.tile_shape, len(card.classes))
    zarr = out / f"{stem}.probabilities.zarr"
    store = TileStore(zarr, shape, BLOCK_TILES, facts, resume)
    blocks = [block for plane in planes for block in blocks_of(grid, BLOCK_TILES, plane)]
    waiting = {block for block in blocks if not store.has(block)}
    return HugeImage(path, stem, image, choice, ranges, store, waiting)


def finish_huge(
    huge: HugeImage, classifier: TileClassifier, out: Path, seconds: float
) -> ImageOutcome:
    """Write the files of an image all of whose blocks are there.

    Raises
    ------
    OutputError, ImageError
        When they cannot be written, or the image not be read for its picture.
    """
    from napari_sem_classify.core.classify.driver import map_of_tiles
    from napari_sem_classify.core.export.outputs import write_outputs

    image, grid, card = huge.image, huge.choice.grid, classifier.card
    files: list[Path] = []
    planes = []
    for plane, reach in huge.ranges.items():
        tiles = huge.store.read(plane)
        more = {"features_from_cache": False, "seconds": seconds, "cluster": True}
        engine = _together(huge.engines)
        class_map = map_of_tiles(image, classifier, grid, tiles, reach, engine, plane, more)
        files += write_outputs(class_map, image, out, huge.stem)
        planes.append(batch.summary(class_map))
    about = {
        "classes": list(card.class_names),
        "area": grid.area.as_list(),
        "tile_px": grid.tile,
        "stride_px": grid.stride,
        "pixel_size_nm": image.pixel_size_nm,
    }
    files.append(huge.store.finish(about))
    note = batch.scale_note(image, huge.choice)
    warning = huge.choice.scale_warning
    return ImageOutcome(huge.path, huge.stem, tuple(files), tuple(planes), note, warning)


def _together(engines: set[EngineFacts]) -> EngineFacts:
    """Name the engines of all workers; blocks of an earlier run do not tell theirs."""
    each = [sorted({getattr(one, name) for one in engines}) for name in EngineFacts.__slots__]
    backend, device, dtype = (", ".join(names) or "not known" for names in each)
    return EngineFacts(backend, device, dtype)
