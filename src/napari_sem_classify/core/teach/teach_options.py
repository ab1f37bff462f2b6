"""What a user may choose about teaching; one object for the command line, the dock and the demo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_sem_classify.core.annotate.annotation import MIN_SHARE
from napari_sem_classify.core.model.recipe import STANDARD, Recipe
from napari_sem_classify.core.model.surroundings import ALONE, Surroundings, surroundings_for
from napari_sem_classify.core.teach.logistic import DEFAULT_STRENGTH

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.base import Engine

STAGES = (2, 3, 4)
MAX_TILES_PER_CLASS = 2000

EngineOf = Callable[[Recipe], "Engine"]
"""Gives the engine that looks in some way."""


@dataclass(frozen=True, slots=True)
class TeachOptions:
    """How to teach.

    Attributes
    ----------
    tile_px : int
        Side of the tiles in image pixels; annotated tiles of another size are not used.
    stride_px : int or None
        Distance between neighbouring tiles of a label image; `tile_px` where None.
    min_share : float
        Share of a tile that its class covers in what was drawn, 0 to 1.
    rules : {class name: share}
        Of classes that a tile of a label image takes where it contains so much of them.
    recipes : tuple of Recipe
        How the network sees the tiles; of several the first is used unless another is clearly
        better by the blocked score.
    dense : bool
        Teach for dense maps: the network runs over blocks of the images, see `network.dense`. For
        recipes with the brightness of the image alone.
    device, backend : str
        What runs the network, see `make_engine`.
    surroundings : tuple of Surroundings
        What of a tile's surroundings may count; of several the first is used unless another is
        clearly better on specimens, or else images, that were left out.
    strength, temperature, before
        Strength, temperature and surroundings of the fit before, with which a first map is there
        at once.
    max_tiles_per_class : int or None
        Of a class with more tiles a random sample of so many is used; None for no limit.
    turned : bool
        Learn from the tiles also as they would look with other settings of the microscope.
    weigh_turned : bool
        Do so unless tiles that were left out clearly lose by it.
    seed : int
        Of the sample and of the intervals of the score; the fit draws nothing at random.
    name : str
        Of the model.
    """

    tile_px: int
    stride_px: int | None = None
    min_share: float = MIN_SHARE
    rules: Mapping[str, float] = field(default_factory=dict)
    recipes: tuple[Recipe, ...] = (STANDARD,)
    dense: bool = False
    device: str = "auto"
    backend: str = "auto"
    surroundings: tuple[Surroundings, ...] = surroundings_for()
    strength: float = DEFAULT_STRENGTH
    temperature: float = 1.0
    before: Surroundings = ALONE
    max_tiles_per_class: int | None = MAX_TILES_PER_CLASS
    turned: bool = True
    weigh_turned: bool = True
    seed: int = 0
    name: str = "Taught model"

    def engine(self, recipe: Recipe) -> Engine:
        """Give the engine that looks in some way, on the chosen device."""
        from napari_sem_classify.core.network.engine import make_engine

        return make_engine(
            network_px=recipe.network_px,
            stages=STAGES,
            backbone_id=recipe.backbone_id,
            device=self.device,
            backend=self.backend,
        )
