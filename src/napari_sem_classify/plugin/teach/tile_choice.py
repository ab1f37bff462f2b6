"""Which tiles to annotate, before the user says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.plugin.app.session import Session
from napari_sem_classify.plugin.teach.teacher import Teacher

if TYPE_CHECKING:
    from napari.layers import Image

SMALL_IMAGE_PX, SMALL_TILE_PX = 2048, 64


def usual_tile(
    layer: Image | None, image: SemImage | None, teacher: Teacher, session: Session
) -> int:
    """Side of the tiles of Tile image, of the annotations, of a map that is there, or a guess."""
    if layer is None or image is None:
        return SMALL_TILE_PX
    plan = session.plans.get(layer)
    if plan is not None:
        return plan.grid.tile
    here = teacher.here if teacher.layer is layer else None
    images = [here] if here is not None and here.marks else teacher.book.annotations.images
    sizes = [place[2] for each in images for place in each.marks]
    if sizes:
        return max(set(sizes), key=sizes.count)
    for other, maps in session.maps.items():
        if session.source_of(other) is layer:
            return next(iter(maps.values())).grid.tile
    small = min(image.area.height, image.area.width) < SMALL_IMAGE_PX
    return SMALL_TILE_PX if small else 2 * SMALL_TILE_PX
