"""Where a review is kept, and finding the one that belongs to some class maps.

``STEM.review.json`` lies beside the image, ``STEM-and-3-more.review.json`` beside the first of
several; a second review of the same images has a number. Where that folder cannot be written, or an
image came from no file, reviews lie in a folder of the user's. A review belongs to maps by their
hashes, whatever the files are called.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.image.file_names import stem_of
from napari_sem_classify.core.image.sem_image import plane_suffix
from napari_sem_classify.core.maps.class_map import ClassMap, map_sha256
from napari_sem_classify.core.measure.review import Review
from napari_sem_classify.core.measure.review_file import load_review

SUFFIX = ".review.json"
OTHER_MAP = (
    "There is a review of an earlier class map of this image: it does not count for this one, and "
    "it stays in its file."
)


@dataclass(frozen=True, slots=True)
class FoundReview:
    """What was found for some class maps.

    Attributes
    ----------
    review : Review or None
    order : tuple of int
        Which of the maps is the review's first, second, ... one.
    path : Path
        Where the review is written from here on; a new one has a name of its own.
    note : str
        One sentence where there are files that do not count, "" else.
    """

    review: Review | None
    order: tuple[int, ...]
    path: Path
    note: str = ""


def find_review(
    maps: Sequence[ClassMap], image_path: Path | None, user_folder: Path
) -> FoundReview:
    """Look for the review of one or several class maps; of several reviews the one written last.

    `image_path` is where the first map's image lies. `user_folder`, for reviews that cannot lie
    beside their image, need not be there yet.
    """
    stem = review_stem(maps, image_path)
    near = None if image_path is None else image_path.absolute().parent
    folders = [user_folder] if near is None else [near, user_folder]
    place = near if near is not None and os.access(near, os.W_OK) else user_folder
    hashes = [map_sha256(class_map) for class_map in maps]
    note, best, latest = "", None, 0.0
    for path in (each for folder in folders for each in _candidates(folder, stem)):
        try:
            review = load_review(path)
            written = path.stat().st_mtime
        except (AnnotationError, OSError) as error:
            note = note or str(error)
            continue
        if review.points != maps[0].of_pixels:
            continue  # one of the tiles does not speak of outlines, and the other way round
        order = review_order(review, hashes)
        if order is None:
            note = note or OTHER_MAP
        elif best is None or written >= latest:
            writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
            target = path if writable else free_place(user_folder, stem)
            best, latest = FoundReview(review, order, target), written
    if best is not None:
        return best
    return FoundReview(None, tuple(range(len(maps))), free_place(place, stem), note)


def review_order(review: Review, hashes: Sequence[str]) -> tuple[int, ...] | None:
    """Which map is each of the review's images, by `map_sha256`; None where one is missing."""
    if len(hashes) != len(review.images):
        return None
    left = list(range(len(hashes)))
    order = []
    for image in review.images:
        match = next((index for index in left if hashes[index] == image.sha256), None)
        if match is None:
            return None
        left.remove(match)
        order.append(match)
    return tuple(order)


def review_stem(maps: Sequence[ClassMap], image_path: Path | None) -> str:
    """Start of a review's file name."""
    first = maps[0]
    stem = stem_of(image_path or first.image_name)
    more = f"-and-{len(maps) - 1}-more" if len(maps) > 1 else ""
    return stem + plane_suffix(first.plane) + more


def _candidates(folder: Path, stem: str) -> list[Path]:
    """Files ``STEM.review.json``, ``STEM-2.review.json`` and so on."""
    try:
        names = [each.name for each in folder.iterdir()]
    except OSError:
        return []
    # Earlier versions wrote _ for what is no letter or number.
    named = "".join(re.escape(c) if c.isalnum() else f"[{re.escape(c)}_]" for c in stem)
    ours = re.compile(rf"{named}(-\d+)?{re.escape(SUFFIX)}")
    return [folder / name for name in sorted(names) if ours.fullmatch(name)]


def free_place(folder: Path, stem: str) -> Path:
    """A name, with a number where need be: a new review never replaces one that is there."""
    path, number = folder / f"{stem}{SUFFIX}", 2
    while path.exists():
        path, number = folder / f"{stem}-{number}{SUFFIX}", number + 1
    return path
