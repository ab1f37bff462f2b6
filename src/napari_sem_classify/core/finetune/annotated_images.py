"""The annotated images that a training can take: put together, counted, opened again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from napari_sem_classify.core.annotate.annotation_set import Annotations, ImageAnnotations
from napari_sem_classify.core.annotate.place import TilePlace, fingerprint, has_plane, plane_image
from napari_sem_classify.core.common.errors import AnnotationError, SemClassifyError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.card import ClassInfo


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """An image with its annotated tiles of one size.

    Attributes
    ----------
    key : str
        Its `fingerprint`.
    marks : mapping of TilePlace to str
        Class of each tile, in pixels of the image.
    specimen : str
        Which it shows.
    """

    image: SemImage
    key: str
    marks: Mapping[TilePlace, str]
    specimen: str = ""


@dataclass(frozen=True, slots=True)
class AnnotatedImages:
    """Annotated tiles of one size, and the classes that they have.

    Attributes
    ----------
    classes : tuple of ClassInfo
        Those with tiles, in the user's order.
    left_out : mapping of str to str
        Images that cannot be used, and why.
    """

    classes: tuple[ClassInfo, ...]
    images: tuple[AnnotatedImage, ...]
    tile_px: int
    left_out: Mapping[str, str]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in the order of the label numbers."""
        return tuple(info.name for info in self.classes)

    def counts(self) -> dict[str, int]:
        """Tiles of each class."""
        found = Counter(name for each in self.images for name in each.marks.values())
        return {name: found[name] for name in self.class_names}


def tile_sizes(images: Iterable[ImageAnnotations]) -> list[tuple[int, int]]:
    """Tile sizes in px with their number of annotated tiles, the most frequent first."""
    found = Counter(place[2] for image in images for place in image.marks)
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))


def tile_counts(annotations: Annotations, tile_px: int) -> dict[str, int]:
    """Annotated tiles of one size in each class."""
    found = Counter(
        mark.class_name
        for image in annotations.images
        for place, mark in image.marks.items()
        if place[2] == tile_px
    )
    return {name: found[name] for name in annotations.class_names}


def open_annotated(
    annotations: Annotations,
    tile_px: int,
    open_images: Mapping[str, SemImage] | None = None,
    job: Job | None = None,
) -> AnnotatedImages:
    """Open the images of annotations; those that are gone or changed are left out, with a reason.

    Parameters
    ----------
    annotations : Annotations
    tile_px : int
        Tiles of other sizes are not used.
    open_images : {fingerprint: SemImage}, optional
        Images that are open already, with the user's corrections of scale and info bar.
    job : Job, optional
        Checked once per image.

    Raises
    ------
    AnnotationError
        When no annotated image can be opened.
    Cancelled
        When the job was asked to stop.
    """
    images, left_out = [], {}
    for each in annotations.images:
        if job is not None:
            job.check()
        marks = {at: mark.class_name for at, mark in each.marks.items() if at[2] == tile_px}
        if not marks:
            continue
        try:
            image = (open_images or {}).get(each.fingerprint) or _open(each)
            if not has_plane(image, each.plane):
                raise AnnotationError(f"{each.name} has fewer planes than were annotated.")
        except SemClassifyError as error:
            left_out[each.name] = str(error)
            continue
        # Planes of a stack share the key: they are never on both sides of a split.
        shown = plane_image(image, each.plane)
        images.append(AnnotatedImage(shown, each.fingerprint, marks, each.specimen))
    if not images:
        why = next(iter(left_out.values()), "")
        raise AnnotationError(
            why or f"No tile of {tile_px} px is annotated: annotate some, or take another size."
        )
    used = {name for each in images for name in each.marks.values()}
    classes = tuple(info for info in annotations.told_classes if info.name in used)
    return AnnotatedImages(classes, tuple(images), tile_px, left_out)


def _open(annotated: ImageAnnotations) -> SemImage:
    from napari_sem_classify.core.sem_io import open_image

    if annotated.path is None:
        raise AnnotationError(
            f"{annotated.name} is annotated, but it was no file: open it in the viewer."
        )
    image = open_image(annotated.path)
    if fingerprint(image) != annotated.fingerprint:
        raise AnnotationError(
            f"{annotated.path} is not the image that was annotated: annotate it again, or put the "
            "earlier one back."
        )
    return image
