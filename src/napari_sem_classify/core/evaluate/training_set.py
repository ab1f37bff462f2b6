"""The images of a listing as tiles in a memory-mapped file, decoded once.

Every image is cropped to its specimen, stretched once over its own range (a tile that was cut to a
file over that of its image, see `tile_ranges`), cut into square tiles and kept as uint8 at the
largest training size: a texture that is resized twice looks different from one that is resized
once, as it is in use. Without a tile size a tile is as large as the image's short side: a wide
image is then the mean over the few tiles that cover it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.digest import digest_of
from napari_sem_classify.core.common.errors import DatasetError, OutputError
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.common.temporaries import sweep, temporary_name
from napari_sem_classify.core.evaluate import set_reading
from napari_sem_classify.core.evaluate.dataset import Listing, RowCrop, one_by_one
from napari_sem_classify.core.evaluate.dataset_split import Split, plan_split
from napari_sem_classify.core.evaluate.duplicates import near_duplicates
from napari_sem_classify.core.evaluate.set_reading import Cutting, ImageFacts, ReadImage
from napari_sem_classify.core.evaluate.tile_ranges import tile_ranges
from napari_sem_classify.core.image.intensity import IntensityRecipe
from napari_sem_classify.core.tiles.grid import MIN_TILE_PX


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Tiles of images with their classes.

    Attributes
    ----------
    images : tuple of ImageFacts
        Those that could be read, without copies.
    labels : int64, shape (images,)
    tiles : uint8, shape (N, side, side)
        Memory-mapped.
    tile_image : int64, shape (N,)
        Image of each tile; the tiles of one image follow one another.
    pairs : int64, shape (pairs, 2)
        Images that show the same place.
    tile_px : int
        Side of a tile in pixels of the images (the median where a tile is a whole image).
    whole_images : bool
        Whether a tile is as large as its image, so that images are what is scored.
    left_out : mapping of str to str
        Files that are not in the set, and why.
    folder : Path
        Holds the tiles; `discard` removes it.
    blocks : int64, shape (images,), or None
        Of annotated tiles, each of which is an "image" here: the place that it belongs to. Tiles of
        one place are not independent, and intervals draw them together.
    places : int64, shape (N, 2), or None
        First row and column of each tile in its image; of annotated tiles their "image" says it.
    """

    class_names: tuple[str, ...]
    images: tuple[ImageFacts, ...]
    labels: NDArray[np.int64]
    tiles: NDArray[np.uint8]
    tile_image: NDArray[np.int64]
    pairs: NDArray[np.int64]
    tile_px: int
    whole_images: bool
    left_out: dict[str, str]
    folder: Path
    notes: tuple[str, ...] = ()
    recipe: IntensityRecipe = IntensityRecipe()
    crop: RowCrop | None = None
    blocks: NDArray[np.int64] | None = None
    places: NDArray[np.int64] | None = None

    @property
    def groups(self) -> list[str]:
        """Specimen of each image, "" where nobody said."""
        return [image.record.group for image in self.images]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Images of each class."""
        return np.bincount(self.labels, minlength=len(self.class_names)).astype(np.int64)

    @property
    def pixel_size_nm(self) -> float | None:
        """Pixel size that all images share within 2 %, else None."""
        sizes = [image.pixel_size_nm for image in self.images]
        known = [size for size in sizes if size is not None]
        if len(known) < len(sizes) or max(known) > 1.02 * min(known):
            return None
        return float(np.median(known))

    def fingerprint(self) -> str:
        """Name of the set's content: the same tiles of the same classes give the same one."""
        # Wherever their files lie.
        images = [replace(each, record=replace(each.record, path=Path())) for each in self.images]
        cut = self.tiles.shape, self.tile_px, self.whole_images, self.recipe, self.crop
        return digest_of(self.class_names, images, cut)

    def discard(self) -> None:
        """Remove the stored tiles from the disk."""
        shutil.rmtree(self.folder, ignore_errors=True)


def split_listed(data: TrainingSet, seed: int) -> Split:
    """Split the images of a listed set, see `plan_split`; the parts its listing names are kept."""
    return plan_split(
        data.labels,
        data.class_names,
        data.pairs,
        groups=data.groups,
        parts=[image.record.part for image in data.images],
        seed=seed,
    )


def make_training_set(
    listing: Listing,
    *,
    tile_px: int | None = None,
    crop: RowCrop | None = None,
    largest_px: int = 224,
    recipe: IntensityRecipe = IntensityRecipe(),
    cache_folder: Path | None = None,
    job: Job | None = None,
) -> TrainingSet:
    """Decode the images of a listing once.

    Parameters
    ----------
    tile_px : int, optional
        Side of the tiles in image pixels; whole images where None.
    crop : RowCrop, optional
        Rows to use; without it the info bar is cropped by the file's metadata or its pixels.
    largest_px : int
        Largest size that training will ask for.
    recipe : IntensityRecipe
        Over what grey values are stretched.
    cache_folder : Path, optional
        Where the tiles are kept; the system's temporary folder where None.
    job : Job, optional
        Told and checked once per image.

    Raises
    ------
    DatasetError
        When a class is left without an image that can be read.
    OutputError
        When the tiles do not fit on the disk.
    Cancelled
        When the job was asked to stop.
    """
    if tile_px is not None and tile_px < MIN_TILE_PX:
        raise DatasetError(f"A tile of {tile_px} px is too small: use {MIN_TILE_PX} px or more.")
    cut = Cutting(tile_px, crop, min(tile_px or largest_px, largest_px), recipe=recipe)
    with tiles_folder(f"The tiles of {listing.source}", cache_folder) as folder:
        cut = replace(cut, ranges=tile_ranges(listing, crop, job))
        return _make(listing, cut, folder, job)


@contextmanager
def tiles_folder(what: str, cache_folder: Path | None) -> Iterator[Path]:
    """Give a new folder for the tiles of a set, which is removed where making the set fails.

    Raises
    ------
    OutputError
        When it cannot be made, or `what` does not fit on the disk.
    """
    place = Path(cache_folder or tempfile.gettempdir())
    folder: Path | None = None
    try:
        sweep(place)
        folder = place / temporary_name()
        folder.mkdir(mode=0o700)  # the usual place is everybody's
        yield folder
    except BaseException as error:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            why = f"({error.strerror or error}): make room there."
            raise OutputError(f"{what} cannot be kept in {place} {why}") from error
        raise


@dataclass(slots=True)
class _Gathered:
    """What has been read so far."""

    images: list[ImageFacts] = field(default_factory=list)
    thumbnails: list[NDArray[np.uint8]] = field(default_factory=list)
    tile_image: list[int] = field(default_factory=list)
    places: list[NDArray[np.int64]] = field(default_factory=list)
    sides: list[int] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    two_classes: set[int] = field(default_factory=set)

    def take(self, read: ReadImage | set_reading.Unreadable) -> NDArray[np.uint8] | None:
        """Note an image; gives its tiles unless it cannot be read or is a copy of another."""
        if isinstance(read, set_reading.Unreadable):
            self.left_out[str(read.path)] = read.why
            return None
        facts = read.facts
        if facts.sha256 in self.seen:
            first = self.images[self.seen[facts.sha256]].record
            if first.label != facts.record.label:
                self.two_classes.add(self.seen[facts.sha256])
            self.left_out[str(facts.record.path)] = f"exact copy of {first.path}"
            return None
        if facts.sha256 is not None:
            self.seen[facts.sha256] = len(self.images)
        self.tile_image += [len(self.images)] * len(read.tiles)
        self.places.append(read.places)
        self.sides.append(read.side)
        self.images.append(facts)
        self.thumbnails.append(read.thumbnail)
        return read.tiles

    def labels(self, listing: Listing) -> NDArray[np.int64]:
        """Class of each image; refuses images in two classes and classes without any."""
        if self.two_classes:
            one = self.images[min(self.two_classes)].record.path
            raise DatasetError(
                f"{len(self.two_classes)} images lie in two classes as exact copies (the first is "
                f"{one}): keep each in one class only."
            )
        labels = np.array([image.record.label for image in self.images], dtype=np.int64)
        for label, name in enumerate(listing.class_names):
            if not (labels == label).any():
                first = next(record for record in listing.records if record.label == label)
                why = self.left_out.get(str(first.path), "")
                raise DatasetError(f"No image of the class {name} can be used: {why}")
        return labels


def _make(listing: Listing, cut: Cutting, folder: Path, job: Job | None) -> TrainingSet:
    reporter = Reporter(len(listing.records), "Reading images", job)
    found = _Gathered()
    path = folder / "tiles.bin"
    with path.open("wb") as file:
        for read in set_reading.read_ahead(listing.records, cut):
            reporter.advance()
            tiles = found.take(read)
            if tiles is not None:
                file.write(tiles.tobytes())
    labels = found.labels(listing)
    return TrainingSet(
        class_names=listing.class_names,
        images=tuple(found.images),
        labels=labels,
        tiles=np.memmap(path, np.uint8, "r", shape=(len(found.tile_image), cut.side, cut.side)),
        tile_image=np.array(found.tile_image, dtype=np.int64),
        pairs=near_duplicates(np.stack(found.thumbnails), job=job),
        tile_px=int(np.median(found.sides)) if cut.tile_px is None else cut.tile_px,
        whole_images=cut.tile_px is None,
        crop=cut.crop,
        left_out=found.left_out,
        notes=listing.notes + cut.ranges.notes + _notes(found.left_out),
        folder=folder,
        places=np.concatenate(found.places),
    )


def _notes(left_out: dict[str, str]) -> tuple[str, ...]:
    unread = [why for why in left_out.values() if not why.startswith("exact copy")]
    copies = len(left_out) - len(unread)
    notes = [f"{copies} exact copies of other images were left out."] if copies else []
    if unread:
        notes += [f"{len(unread)} images could not be read and were left out.", *one_by_one(unread)]
    return tuple(notes)
