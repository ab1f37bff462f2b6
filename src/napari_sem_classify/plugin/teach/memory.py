"""What *Teach* knows beyond the life of its widget; it belongs to the viewer."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_sem_classify.core.annotate.keeper import Keeper
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.recipe import STANDARD, Recipe, RecipeChoice
from napari_sem_classify.core.teach.looked import SeenTiles
from napari_sem_classify.plugin.app.session import helper_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


@dataclass(eq=False)
class Memory:
    """Images by their fingerprint, and what the network saw in them.

    Attributes
    ----------
    keeper : Keeper
    looked : {key of the image or plane: SeenTiles}
        Of planes of a stack that are out of view only the annotated tiles.
    images : {fingerprint: SemImage}
        Those that are open.
    layers : {fingerprint: weak reference to the image layer}
    recipe : Recipe
        How the network looks at tiles.
    choice : RecipeChoice or None
        How that was found, where it was asked for.
    """

    keeper: Keeper = field(default_factory=Keeper)
    looked: dict[str, SeenTiles] = field(default_factory=dict)
    images: dict[str, SemImage] = field(default_factory=dict)
    layers: dict[str, weakref.ref[Layer]] = field(default_factory=dict)
    recipe: Recipe = STANDARD
    choice: RecipeChoice | None = None


def memory_of(viewer: ViewerModel) -> Memory:
    """The viewer's memory, made on first use."""
    return helper_of(viewer, Memory)
