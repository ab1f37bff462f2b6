"""What a model makes of the surroundings of a tile, beside what the tile itself shows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from napari_sem_classify.core.common.checked import Fields
from napari_sem_classify.core.model.recipe import MARGIN

ALIGNMENTS = (0.0, 0.5, 1.0)
SMOOTHINGS = (0.0, 0.2, 0.4, 0.7)
MOST_SMOOTHING = 2.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How far a tile's surroundings count.

    Attributes
    ----------
    context : bool
        Whether the mean embedding of the eight neighbours is looked at beside the tile's own.
    alignment : float
        Share (0 to 1) of the image's mean embedding that is taken away from both.
    smoothing : float
        How far each neighbour's probabilities raise those of the tile, in nats for one that is
        sure: one mean-field step of a Potts model.
    """

    context: bool = False
    alignment: float = 0.0
    smoothing: float = 0.0

    @property
    def title(self) -> str:
        """For the user: "neighbours, aligned by half"."""
        parts = []
        if self.context:
            parts.append("neighbours")
        if self.alignment:
            parts.append("aligned" if self.alignment == 1 else f"aligned by {self.alignment:g}")
        if self.smoothing:
            parts.append(f"smoothed by {self.smoothing:g}")
        return ", ".join(parts) or "the tile alone"

    @classmethod
    def from_fields(cls, value: Fields) -> Surroundings:
        """Read what `asdict` gave; raises `Malformed` where it is something else."""
        return cls(
            value.flag("context"),
            value.number("alignment", 0, 1),
            value.number("smoothing", 0, MOST_SMOOTHING),
        )


ALONE = Surroundings()


def surroundings_for(
    context: bool | None = None, alignment: float | None = None, smoothing: float | None = None
) -> tuple[Surroundings, ...]:
    """What is worth a try, with the wished parts fixed; the least comes first."""
    contexts = (False, True) if context is None else (context,)
    alignments = ALIGNMENTS if alignment is None else (alignment,)
    smoothings = SMOOTHINGS if smoothing is None else (smoothing,)
    return tuple(Surroundings(*each) for each in product(contexts, alignments, smoothings))


@dataclass(frozen=True, slots=True)
class SurroundingsScore:
    """How surroundings did on annotated tiles of images, or specimens, that were left out.

    Attributes
    ----------
    macro_f1 : float
    gain : float
        In macro-F1 over the first that was tried.
    spread : float
        Standard deviation of `gain` when the images or specimens are drawn anew.
    """

    surroundings: Surroundings
    macro_f1: float
    gain: float
    spread: float

    @property
    def clearly_better(self) -> bool:
        """Whether the gain is worth having, and more than its standard error.

        Two standard errors, as for a way of looking, kept the tile alone in half of the cases in
        which the surroundings helped, and saved nothing where they did not (docs/teaching.md).
        """
        return self.gain > max(MARGIN, self.spread)

    @property
    def least_gain(self) -> float:
        """The gain, less its standard error."""
        return self.gain - self.spread


@dataclass(frozen=True, slots=True)
class SurroundingsChoice:
    """What of a tile's surroundings to use, and why.

    Attributes
    ----------
    scores : tuple of SurroundingsScore
        Of all that were tried; empty where none could be scored.
    reason : str
        One sentence for the user.
    """

    surroundings: Surroundings
    scores: tuple[SurroundingsScore, ...]
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a model's record."""
        tried = [
            {**asdict(each.surroundings), "macro_f1": each.macro_f1}
            | {"gain": each.gain, "spread": each.spread}
            for each in self.scores
        ]
        return {"chosen": asdict(self.surroundings), "tried": tried, "reason": self.reason}
