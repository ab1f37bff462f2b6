"""Which images belong to which class: a folder of class folders, or a table of path, class, group.

Only names are read here; `training_set` opens the images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.checked import Malformed, is_path, shown
from napari_sem_classify.core.common.csv_text import read_csv
from napari_sem_classify.core.common.errors import DatasetError, ImageError
from napari_sem_classify.core.evaluate.dataset_split import LEAST_SPECIMENS
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.image.specimen_guess import guess_specimen
from napari_sem_classify.core.model.card import classes_problem
from napari_sem_classify.core.sem_io.listing import is_image_name, natural_key

# Files that a summary names with their reasons; all of them are in the JSON.
MOST_NAMED = 100

Part = Literal["train", "valid", "test"]
_PARTS: dict[str, Part] = {"train": "train", "valid": "valid", "test": "test"}
_PARTS |= {"val": "valid", "validation": "valid"}


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image file and its class.

    Attributes
    ----------
    label : int
        Number of its class in `Listing.class_names`.
    group : str
        The specimen it shows; images of one group are never on both sides of a split. "" where
        nobody said.
    part : {"train", "valid", "test"} or None
        The side of the split that the table asks for.
    """

    path: Path
    label: int
    group: str = ""
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """The images of a folder or table.

    Attributes
    ----------
    class_names : tuple of str
        In natural order.
    notes : tuple of str
        What the user should know, a sentence each.
    """

    source: Path
    class_names: tuple[str, ...]
    records: tuple[ImageRecord, ...]
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class of each image, shape (N,)."""
        return np.array([record.label for record in self.records], dtype=np.int64)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Images of each class."""
        return np.bincount(self.labels, minlength=len(self.class_names)).astype(np.int64)


def drawn_by_class(labels: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """Numbers of about `most` of some cases, drawn by the seed, each class by its share.

    Of every class there are two at least, where it has two; all where there are no more.
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    generator = np.random.default_rng(seed)
    kept = []
    for k in np.unique(labels):
        mine = np.flatnonzero(labels == k)
        kept.append(generator.permutation(mine)[: max(2, round(most * len(mine) / len(labels)))])
    return np.sort(np.concatenate(kept)).astype(np.int64)


def fewer_images(listing: Listing, most: int | None, seed: int) -> Listing:
    """A listing of at most about so many of its images, which its notes then tell."""
    count = len(listing.records)
    if most is None or count <= most:
        return listing
    kept = drawn_by_class(listing.labels, most, seed)
    note = f"{len(kept)} of {count} images, drawn at random, are read: there is no time for more."
    records = tuple(listing.records[number] for number in kept)
    return replace(listing, records=records, notes=(*listing.notes, note))


def read_listing(source: Path | str, *, least_classes: int = 2) -> Listing:
    """List the images of a folder of class folders, or of a CSV.

    Parameters
    ----------
    source : Path or str
        A folder in which every folder is a class. Images in a folder within a class folder are one
        group (a specimen). Or a CSV with the columns ``path``, ``class`` and, where known,
        ``specimen`` (or ``group``) and ``split`` (train, valid or test); paths start at the CSV's
        own folder, and rows without a class are left out.

        Where nobody says it the specimen is guessed from folder and name, see `guess_specimen`,
        unless that gives fewer than `LEAST_SPECIMENS`.
    least_classes : int
        2 for training; 1 where a model is only scored.

    Raises
    ------
    DatasetError
        When there is no such thing, a class is empty, or there are too few classes.
    """
    source = Path(source).expanduser()
    if not source.exists():
        raise DatasetError(f"{source} does not exist: check the name and the folder.")
    listing = _from_folder(source) if source.is_dir() else _from_table(source)
    if len(listing.class_names) < least_classes:
        raise DatasetError(
            f"{source} holds one class only ({listing.class_names[0]}): "
            "a model learns to tell classes apart, so give it two or more."
        )
    return _with_specimens(listing)


def _with_specimens(listing: Listing) -> Listing:
    """Guess the specimens of images of which nobody says them."""
    records = tuple(
        record if record.group else replace(record, group=guess_specimen(record.path))
        for record in listing.records
    )
    names = {record.group for record in records}
    without = sum(not record.group for record in listing.records)
    if not without or len(names) < LEAST_SPECIMENS or len(names) == len(records):
        return listing  # an image each says no more than that they are images
    note = (
        f"{len(names)} specimens, guessed from folders and names for {without} images: a table "
        "with the column specimen says others."
    )
    return replace(listing, records=records, notes=(*listing.notes, note))


@dataclass(frozen=True, slots=True)
class RowCrop:
    """The rows of every image to use, from `top` to `bottom` (excluded).

    Attributes
    ----------
    top, bottom : float or None
        Rows, or shares of the height where `in_percent` says so; None for the image's edge.
    in_percent : (bool, bool)
    """

    top: float | None = None
    bottom: float | None = None
    in_percent: tuple[bool, bool] = (False, False)

    @classmethod
    def parse(cls, text: str) -> RowCrop:
        """Read "130:893", ":893" or "0:81.25%".

        Raises
        ------
        DatasetError
            When it is none of these.
        """
        first, colon, second = text.partition(":")
        try:
            if not colon:
                raise ValueError(text)
            top, top_share = _row(first)
            bottom, bottom_share = _row(second)
        except ValueError:
            raise DatasetError(
                f"{text!r} does not name rows: write TOP:BOTTOM, as 130:893 or 0:81%."
            ) from None
        return cls(top, bottom, (top_share, bottom_share))

    def apply(self, image: SemImage) -> SemImage:
        """The image with these rows as its specimen area, over its whole width.

        Raises
        ------
        ImageError
            When no row is left.
        """
        rows, columns = image.shape
        top = _in_rows(self.top, self.in_percent[0], rows, 0)
        bottom = min(_in_rows(self.bottom, self.in_percent[1], rows, rows), rows)
        if not 0 <= top < bottom:
            raise ImageError(
                f"{image.name} has {rows} rows, and none of them lies in rows {self}: "
                "choose other rows."
            )
        return image.with_area(Area(top, bottom, 0, columns), f"rows {self}, set by user")

    def __str__(self) -> str:
        ends = zip((self.top, self.bottom), self.in_percent, strict=True)
        return ":".join("" if n is None else f"{n:g}{'%' * share}" for n, share in ends)


def _row(text: str) -> tuple[float | None, bool]:
    text = text.strip()
    if not text:
        return None, False
    share = text.endswith("%")
    number = float(text.removesuffix("%"))
    if not (0 <= number <= (100 if share else 1e9)):
        raise ValueError(text)
    return number, share


def _in_rows(number: float | None, share: bool, rows: int, edge: int) -> int:
    if number is None:
        return edge
    return round(number * rows / 100) if share else int(number)


def _from_folder(folder: Path) -> Listing:
    try:
        inside = sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=_key)
    except OSError as error:
        raise DatasetError(f"{folder} cannot be read ({error.strerror}).") from error
    classes = [path for path in inside if path.is_dir() and not is_image_name(path)]
    if not classes:
        raise DatasetError(
            f"{folder} holds no class folders: put the images of each class into a folder of its "
            "own, or give a CSV with the columns path and class."
        )
    _check_classes(folder, [path.name for path in classes])
    records = []
    for label, class_folder in enumerate(classes):
        found = [ImageRecord(path, label, group) for path, group in _images_below(class_folder, "")]
        if not found:
            raise DatasetError(
                f"The class folder {class_folder} holds no images: put images in, or remove it."
            )
        records += found
    loose = sum(is_image_name(path) for path in inside)
    notes = (f"{loose} images outside the class folders were left out.",) if loose else ()
    return Listing(folder, tuple(path.name for path in classes), tuple(records), notes)


def _images_below(folder: Path, group: str) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.iterdir(), key=_key):
        if path.name.startswith("."):
            continue
        if is_image_name(path):
            yield path, group
        elif path.is_dir():
            yield from _images_below(path, f"{group or folder.name}/{path.name}")


def _key(path: Path) -> tuple[list[tuple[int, int | str]], str]:
    return natural_key(path), path.name


def _from_table(table: Path) -> Listing:
    rows = _rows(table)
    first = rows[0] if rows else {}
    for column in ("path", "class"):
        if column not in first:
            raise DatasetError(
                f"{table} has no column {column!r}: a table of images needs path and class, "
                "and may have specimen and split."
            )
    used = [row for row in rows if row["class"].strip() and row["path"].strip()]
    if not used:
        raise DatasetError(f"{table} names no image with a class: fill the columns path and class.")
    named = {row["class"].strip() for row in used}
    _check_classes(table, sorted(named))
    names = sorted(named, key=lambda name: _key(Path(name)))
    number = {name: label for label, name in enumerate(names)}
    records = []
    for row in used:
        path = table.parent / _path(row["path"].strip(), table)
        if not path.exists():
            raise DatasetError(f"{table} names {path}, which does not exist: check the path.")
        part = _part(row.get("split", "").strip().lower(), table)
        group = (row.get("specimen") or row.get("group", "")).strip()
        records.append(ImageRecord(path, number[row["class"].strip()], group, part))
    if len({record.part is None for record in records}) > 1:
        raise DatasetError(f"{table} gives a split for some images only: give it for all or none.")
    left_out = len(rows) - len(used)
    notes = (f"{left_out} rows without a class were left out.",) if left_out else ()
    return Listing(table, tuple(names), tuple(records), notes)


def _rows(table: Path) -> Sequence[dict[str, str]]:
    try:
        return read_csv(table)
    except (OSError, Malformed) as error:
        why = f" ({error})" if isinstance(error, Malformed) else ""
        raise DatasetError(
            f"{table} is no table of images{why}: give a folder of class folders, or a CSV with "
            "the columns path and class."
        ) from error


def _check_classes(source: Path, names: Sequence[str]) -> None:
    problem = classes_problem(names)
    if problem:
        raise DatasetError(f"{source} cannot be learned from, as {problem}: rename the classes.")


def _path(text: str, table: Path) -> Path:
    try:
        if is_path(text):
            return Path(text).expanduser()
    except RuntimeError:  # "~" and a name that no user has
        pass
    raise DatasetError(f"{table} names the file {shown(text)}, which is no path: check it.")


def _part(text: str, table: Path) -> Part | None:
    if text and text not in _PARTS:
        raise DatasetError(f"{table} has the split {shown(text)}: use train, valid or test.")
    return _PARTS.get(text)


def one_by_one(sentences: Iterable[str]) -> list[str]:
    """The sentences about files for a summary, the first `MOST_NAMED` of them."""
    every = list(sentences)
    more = len(every) - MOST_NAMED
    return every[:MOST_NAMED] + ([f"And {more} more files."] if more > 0 else [])
