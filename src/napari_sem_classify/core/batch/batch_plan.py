"""What a batch will do: which images, how many tiles, what is finished, what cannot be opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_sem_classify.core.batch.batch_state import (
    BatchState,
    BatchTarget,
    Item,
    item_path,
    item_state,
)
from napari_sem_classify.core.batch.classify_many import batch_digest
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.common.errors import ImageError, SemClassifyError
from napari_sem_classify.core.common.folder_record import FolderRecord
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.export.kinds import ending
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.card import ModelCard
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.sem_io.listing import list_images


@dataclass(frozen=True, slots=True)
class Looked:
    """An image of a batch as far as its file tells without reading it all.

    Attributes
    ----------
    image : SemImage or None
        Its size, scale and area, with nothing for pixels; None where it cannot be opened.
    problem : str
        Why not, in one sentence.
    """

    item: Item
    image: SemImage | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What a batch of some number of images will do.

    Attributes
    ----------
    tiles : mapping of int to int
        Tiles of each image that can be classified, by its place in the batch.
    problems : mapping of int to str
        Why an image cannot, in one sentence, by its place.
    scale_notes : tuple of str
        A note for each image that has another scale than the model learned at, or none.
    finished : frozenset of int
        Places of images that an earlier run finished.
    """

    images: int
    tiles: Mapping[int, int]
    problems: Mapping[int, str]
    scale_notes: tuple[str, ...]
    finished: frozenset[int] = frozenset()

    @property
    def tiles_to_do(self) -> int:
        """Tiles of the images that are not finished."""
        return sum(count for at, count in self.tiles.items() if at not in self.finished)


def images_to_classify(inputs: Iterable[str | Path]) -> list[Path]:
    """Images named by files, folders and patterns, without the maps and pictures of earlier runs.

    Raises
    ------
    ImageError
        As `list_images`, and when there is nothing but results.
    """
    found = list_images(inputs)
    images = [path for path in found if not _is_result(path)]
    if not images:
        raise ImageError(
            f"{found[0]} is a class map or a picture of one, and so is all else that was given: "
            "choose the images that they were made of."
        )
    return images


def _is_result(path: Path) -> bool:
    if path.name.endswith((ending("map"), ending("ome-zarr"), ending("outlines"))):
        return True
    for suffix in (ending("overlay"), ending("png")):
        if path.name.endswith(suffix):
            stem = path.name.removesuffix(suffix)
            return path.with_name(f"{stem}{ending('map')}").is_file()
    return False


def look_at(
    items: Sequence[Item],
    wanted_nm: float | None,
    known: dict[tuple[str, str, float | None], Looked] | None = None,
    job: Job | None = None,
) -> list[Looked]:
    """Open each image for its size and scale.

    Parameters
    ----------
    wanted_nm : float or None
        The model's pixel size, by which a resolution of a pyramid is chosen.
    known : dict, optional
        What earlier looks found; filled here, so that files that did not change are not opened
        again.

    Raises
    ------
    Cancelled
        When the job was asked to stop.
    """
    known = {} if known is None else known
    reporter = Reporter(len(items), "Looking at the images", job)
    looked = []
    for item in items:
        if isinstance(item, SemImage):
            looked.append(Looked(item, _without_pixels(item)))
        else:
            key = (str(item), item_state(item), wanted_nm)
            if key not in known:
                known[key] = _open(item, wanted_nm)
            looked.append(known[key])
        reporter.advance()
    return looked


def plan_batch(
    looked: Sequence[Looked],
    card: ModelCard,
    options: ClassifyOptions,
    finished: Iterable[int] = (),
) -> BatchPlan:
    """Lay the tiles over images that were looked at, and count them; reads nothing.

    `finished` comes from `finished_before`.
    """
    tiles, problems, notes = {}, {}, []
    for at, each in enumerate(looked):
        if each.image is None:
            problems[at] = each.problem
            continue
        try:
            choice = options.grid_for(each.image, card)
        except SemClassifyError as error:
            problems[at] = str(error)
            continue
        tiles[at] = choice.grid.n_tiles * len(list(each.image.planes()))
        if choice.scale_warning:
            notes.append(f"{item_path(each.item).name}: {choice.note}")
    return BatchPlan(len(looked), tiles, problems, tuple(notes), frozenset(finished))


def finished_before(
    items: Sequence[Item], classifier: TileClassifier, target: BatchTarget, options: ClassifyOptions
) -> frozenset[int]:
    """Places of the images that an earlier run with the same settings finished in a folder."""
    if not target.folder.is_dir():
        return frozenset()
    record = FolderRecord(target.folder)
    state = BatchState(record, batch_digest(classifier, options, target.kinds))
    if not state.images:
        return frozenset()
    return frozenset(at for at, item in enumerate(items) if state.finished(item) is not None)


def _open(path: Path, wanted_nm: float | None) -> Looked:
    from napari_sem_classify.core.sem_io import open_for_scale

    try:
        return Looked(path, _without_pixels(open_for_scale(path, wanted_nm)))
    except SemClassifyError as error:
        return Looked(path, None, str(error))
    except Exception as error:  # what a library does with a strange file must not stop the look
        return Looked(path, None, f"{path} cannot be opened ({error!r}): look at it by itself.")


def _without_pixels(image: SemImage) -> SemImage:
    """The image with one pixel repeated for its data: what was decoded is let go of."""
    shape = (*image.leading_shape, *image.shape)
    return replace(image, data=np.broadcast_to(np.zeros((), np.uint8), shape), colour="grey")
