"""A way of looking at tiles, how ways scored on annotated tiles, and which was chosen."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from napari_sem_classify.core.common.checked import Fields
from napari_sem_classify.core.image.intensity import IntensityRecipe
from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE

NETWORK_PX = 128
LARGE_NETWORK_PX = 224
MARGIN_SPREADS = 2.0
MARGIN = 0.02
"""A gain has to be larger than both: with less, new specimens did not confirm it."""


OVER_TITLES = {"frames": "frame by frame", "local": "evened out locally"}

_SCORES = ("macro_f1", "balanced_accuracy", "gain", "spread")
_NETWORK_PX_RANGE = 32, 1024
_MOST_TRIED = 1000


@dataclass(frozen=True, slots=True)
class Recipe:
    """A way of looking at tiles.

    Attributes
    ----------
    network_px : int
        Side to which a tile is brought for the network.
    backbone_id : str
        The network.
    """

    intensity: IntensityRecipe = IntensityRecipe()
    network_px: int = NETWORK_PX
    backbone_id: str = DEFAULT_BACKBONE

    @property
    def title(self) -> str:
        """For the user: "tiles as they are, 128 px"."""
        return f"{self._how}, {self.network_px} px"

    @property
    def _how(self) -> str:
        if self.intensity.over != "image":
            return OVER_TITLES[self.intensity.over]
        return "tiles evened out" if self.intensity.per_tile else "tiles as they are"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a model's record."""
        return {**asdict(self), "intensity": self.intensity.to_dict()}


STANDARD = Recipe()


@dataclass(frozen=True, slots=True)
class RecipeScore:
    """How a recipe did on the annotated tiles.

    Attributes
    ----------
    macro_f1, balanced_accuracy : float
        Blocked scores, 0 to 1.
    gain : float
        In macro-F1 over the first recipe.
    spread : float
        Standard deviation of `gain` when blocks are drawn anew.
    """

    recipe: Recipe
    macro_f1: float
    balanced_accuracy: float
    gain: float
    spread: float

    @property
    def clearly_better(self) -> bool:
        """Whether the gain in macro-F1 is more than chance would give."""
        return self.gain > max(MARGIN, MARGIN_SPREADS * self.spread)


@dataclass(frozen=True, slots=True)
class RecipeChoice:
    """Which recipe to use, and why.

    Attributes
    ----------
    scores : tuple of RecipeScore
        Of all that were tried, the standard one first; empty where none could be scored.
    reason : str
        One sentence for the user.
    """

    recipe: Recipe
    scores: tuple[RecipeScore, ...]
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a model's record."""
        tried = [
            {**each.recipe.to_dict(), "macro_f1": each.macro_f1, "gain": each.gain}
            | {"balanced_accuracy": each.balanced_accuracy, "spread": each.spread}
            for each in self.scores
        ]
        return {"chosen": self.recipe.to_dict(), "tried": tried, "reason": self.reason}

    @classmethod
    def from_fields(cls, told: Fields) -> RecipeChoice:
        """Read what `to_dict` gave.

        Raises
        ------
        Malformed
            When it is something else.
        """
        tried = tuple(
            RecipeScore(_recipe(each), *(_score(each, name) for name in _SCORES))
            for each in told.objects("tried", _MOST_TRIED)
        )
        return cls(_recipe(told.object("chosen")), tried, told.text("reason"))


def _recipe(told: Fields) -> Recipe:
    backbone_id = told.name("backbone_id") if told.has("backbone_id") else DEFAULT_BACKBONE
    intensity = IntensityRecipe.from_fields(told.object("intensity"))
    return Recipe(intensity, told.whole("network_px", *_NETWORK_PX_RANGE), backbone_id)


def _score(told: Fields, name: str) -> float:
    # What could not be scored is written as null.
    return told.number(name, -1e6, 1e6) if told.has(name) else math.nan
