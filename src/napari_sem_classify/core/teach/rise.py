"""What a few tiles of an image do for a model that did not know the image, told as they come."""

from __future__ import annotations

from dataclasses import dataclass

from napari_sem_classify.core.model.transfer import Expected, Judgement


@dataclass(frozen=True, slots=True)
class Rise:
    """A model before and after some tiles of an image taught it further.

    Attributes
    ----------
    before : Judgement
        Of the image, before any of its tiles taught.
    now : Judgement or None
        Of its other tiles; None where the model carries no judgement.
    tiles, right : int
        How many tiles of the image were answered, and how many of them it had right before.
    """

    before: Judgement
    now: Judgement | None
    tiles: int
    right: int

    @property
    def sentence(self) -> str:
        """For the user: what was expected, what is now, and how far that can be trusted."""
        count = "1 tile" if self.tiles == 1 else f"{self.tiles} tiles"
        then, now = self.before.expected, None if self.now is None else self.now.expected
        if then is None or now is None:
            few = f"Of {count} of this image that you answered, it had {self.right} right before."
            return f"{self.before.sentence} {few}"
        rise = f"expect {_percent(then)} → {_percent(now)} right after {count} ({_between(now)})"
        return f"{self.before.verdict.capitalize()} what it learned: {rise}."


def _percent(expected: Expected) -> str:
    return f"{100 * expected.estimate:.0f} %"


def _between(expected: Expected) -> str:
    return f"{100 * expected.low:.0f}–{100 * expected.high:.0f} %"
