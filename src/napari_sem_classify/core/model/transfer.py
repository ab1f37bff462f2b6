"""Whether a model holds on an image that it did not learn from, judged without a single label.

Three heads are taught beside the model's own, each on the features of one stage of the network. On
a specimen like those that taught they name the same classes, on a strange one they fall apart: the
share of tiles on which pairs of them agree, and the model's own confidence, follow its accuracy.
Where a model is wrong and sure, it often finds the classes in other shares than usual. How closely
all this goes with the accuracy was seen when it was taught, on images of specimens left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.checked import LARGEST, Fields, Malformed

Verdict = Literal["like", "unlike", "very unlike", "unknown"]

UNLIKE = 0.04
VERY_UNLIKE = 0.1
"""Points of accuracy, as shares, that an image is expected to lie under what the model promises."""

INTERVAL = 0.9
"""Share of images that should lie within it, if those left out are like those to come."""

TOO_FAR = 3.0
"""Times its spread that the distance of an image lies over that of images left out."""

FEWEST_TILES = 16
"""On fewer tiles the agreement is chance."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How the signs that need no label went with the accuracy of images that were left out.

    Attributes
    ----------
    promise : float
        Accuracy on the left-out images, 0 to 1, each counted by its annotated tiles.
    offset : float
        Mean of accuracy minus sign, see `sign_of`.
    spread : float
        Standard deviation of the same from image to image.
    images, specimens : int
        That were left out; a specimen is an image of its own where specimens are not told.
    distance, distance_spread : float
        Mean distance of their tiles from those that taught, see `StageHeads`, and its standard
        deviation from image to image.
    shares : tuple of float or None
        Mean share of the tiles that is found of each class; None in models from before.
    shares_apart : float
        How far the shares of an image usually lie from those, see `shares_apart`.
    """

    promise: float
    offset: float
    spread: float
    images: int
    specimens: int
    distance: float
    distance_spread: float
    shares: tuple[float, ...] | None = None
    shares_apart: float = 0.0

    @classmethod
    def from_fields(cls, value: Fields, classes: int) -> Calibration:
        """Read what `asdict` gave; raises `Malformed` when it is something else."""
        shares = None
        if value.has("shares"):
            shares = value.numbers("shares", 0, 1, classes)
        apart = value.number("shares_apart", 0, 1) if shares is not None else 0.0
        return cls(
            promise=value.number("promise", 0, 1),
            offset=value.number("offset", -1, 1),
            spread=value.number("spread", 0, 1),
            images=value.whole("images", 3, 10**9),
            specimens=value.whole("specimens", 3, 10**9),
            distance=value.number("distance", 0, 1e9),
            distance_spread=value.number("distance_spread", 0, 1e9),
            shares=shares,
            shares_apart=apart,
        )


@dataclass(frozen=True, slots=True)
class Transfer:
    """What a model card says of the model on other specimens.

    Attributes
    ----------
    calibration : Calibration or None
        None where it could not be measured, for the `reason`, one sentence.
    """

    calibration: Calibration | None
    reason: str = ""

    @classmethod
    def from_fields(cls, value: Fields, classes: int) -> Transfer:
        """Read what `asdict` gave; raises `Malformed` when it is something else."""
        found = None
        if value.has("calibration"):
            found = Calibration.from_fields(value.object("calibration"), classes)
        return cls(found, value.text("reason"))


@dataclass(frozen=True, slots=True)
class Expected:
    """Accuracy to expect, 0 to 1, and the interval in which it lies with probability `INTERVAL`."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """What can be said of a model on an image before anything in it is annotated.

    Attributes
    ----------
    verdict : {"like", "unlike", "very unlike", "unknown"}
    sentence : str
        For the user: "Like what it learned: expect 91–95 % right.", or why it is not known.
    agreement : float or None
        Share of pairs of stage heads that name the same class, over all tiles, 0 to 1.
    tiles : int
        That were looked at.
    expected : Expected or None
    promise : float or None
        Accuracy on left-out images of what taught the model.
    """

    verdict: Verdict
    sentence: str
    agreement: float | None = None
    tiles: int = 0
    expected: Expected | None = None
    promise: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values: ``transfer`` the verdict, ``expected_accuracy`` and what they rest on."""
        return {
            "transfer": self.verdict,
            "expected_accuracy": None if self.expected is None else asdict(self.expected),
            "transfer_sentence": self.sentence,
            "transfer_agreement": self.agreement,
            "transfer_promise": self.promise,
            "transfer_tiles": self.tiles,
        }

    @classmethod
    def from_fields(cls, value: Fields) -> Judgement:
        """Read what `to_dict` gave; raises `Malformed` when it is something else."""
        expected = None
        if value.has("expected_accuracy"):
            told = value.object("expected_accuracy")
            expected = Expected(*(told.number(name, 0, 1) for name in ("estimate", "low", "high")))
        shares = [
            value.number(name, 0, 1) if value.has(name) else None
            for name in ("transfer_agreement", "transfer_promise")
        ]
        return cls(
            verdict=value.one_of("transfer", get_args(Verdict)),
            sentence=value.text("transfer_sentence"),
            agreement=shares[0],
            tiles=value.whole("transfer_tiles", 0, LARGEST),
            expected=expected,
            promise=shares[1],
        )

    @property
    def short(self) -> str:
        """For a table: "like, 93 %"; "" where it is not known."""
        if self.expected is None:
            return "" if self.verdict == "unknown" else self.verdict
        return f"{self.verdict}, {100 * self.expected.estimate:.0f} %"


NO_JUDGEMENT = Judgement(
    "unknown",
    "This model carries no judgement of other specimens: models taught, or trained on annotated "
    "images, from now on do.",
)
LEARNED_HERE = Judgement("unknown", "The model learned from this image: it is not judged.")
FAR = (
    "Very unlike what it learned: its tiles are like none of those, so that no accuracy can be "
    "expected; annotate some tiles of this image."
)
NOT_JUDGED = Judgement("unknown", "The map was made before models were judged on other specimens.")


def judgement_in(values: Mapping[str, Any]) -> Judgement:
    """The judgement among the values of a record or summary, `NOT_JUDGED` where there is none."""
    try:
        return Judgement.from_fields(Fields(values))
    except Malformed:
        return NOT_JUDGED


def least(judgements: Sequence[Judgement]) -> Judgement:
    """Of the planes of a stack, the one of which least is to be expected."""
    return min(judgements, key=estimate_of, default=NOT_JUDGED)


def estimate_of(judgement: Judgement) -> float:
    """To sort by: what is unlike comes first, what is not known last."""
    if judgement.expected is not None:
        return judgement.expected.estimate
    return 2.0 if judgement.verdict == "unknown" else -1.0


def sign_of(agreement: float, confidence: float, odd: float = 0.0) -> float:
    """The sign that follows the accuracy: the mean of agreement and confidence, less `odd`."""
    return (agreement + confidence) / 2 - odd


def shares_in(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """Share of the tiles (N, classes) that is found of each class, shape (classes,)."""
    found = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    return np.asarray(found / len(probabilities), dtype=np.float64)


def shares_apart(shares: NDArray[Any], others: NDArray[Any]) -> float:
    """How far shares of classes lie apart: the share of tiles to move (0 to 1), squared.

    Squared, as every specimen is a little other than the last, and much other is rare.
    """
    return float(np.abs(shares - others).sum() / 2) ** 2


def agreement_of(labels: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """Share of pairs of heads that name the same class, of each tile, 0 to 1.

    Parameters
    ----------
    labels : sequence of int, shape (N,) each
        The class that each head names; at least two heads.
    """
    pairs = list(combinations(labels, 2))
    same = sum((one == other).astype(np.float32) for one, other in pairs)
    return np.asarray(same / np.float32(len(pairs)), dtype=np.float32)


def judge(
    agreement: NDArray[Any], probabilities: NDArray[Any], distance: NDArray[Any], known: Transfer
) -> Judgement:
    """Judge an image by its tiles.

    On what lies far from all that taught, heads agree by chance or all are sure of the same: there
    no accuracy is told.

    Parameters
    ----------
    agreement, distance : float, shape (N,)
    probabilities : float, shape (N, classes)
        Of each tile; NaN where it was left out.
    known : Transfer
        Of the model's card.
    """
    there = ~np.isnan(agreement)
    tiles = int(np.count_nonzero(there))
    if tiles < FEWEST_TILES:
        few = f"{tiles} tile{'' if tiles == 1 else 's'}"
        return Judgement("unknown", f"{few}: too few to judge whether the model holds here.")
    agreed = float(agreement[there].mean(dtype=np.float64))
    sure = float(probabilities[there].max(axis=1).mean(dtype=np.float64))
    calibration = known.calibration
    if calibration is None:
        together = f"Its parts agree on {100 * agreed:.0f} % of the tiles."
        return Judgement("unknown", f"{known.reason} {together}".strip(), agreed, tiles)
    far = float(distance[there].mean(dtype=np.float64)) - calibration.distance
    if far > TOO_FAR * calibration.distance_spread:
        return Judgement("very unlike", FAR, agreed, tiles, None, calibration.promise)
    odd = 0.0
    if calibration.shares is not None:
        apart = shares_apart(shares_in(probabilities[there]), np.array(calibration.shares))
        odd = max(0.0, apart - calibration.shares_apart)
    estimate = min(max(sign_of(agreed, sure, odd) + calibration.offset, 0.0), 1.0)
    reach = _quantile(calibration.images) * calibration.spread
    reach *= math.sqrt(1 + 1 / calibration.images)  # the offset itself is known from so many
    expected = Expected(estimate, max(estimate - reach, 0.0), min(estimate + reach, 1.0))
    drop = calibration.promise - estimate
    verdict: Verdict = "like"
    if drop >= VERY_UNLIKE:
        verdict = "very unlike"
    elif drop >= UNLIKE:
        verdict = "unlike"
    said = _sentence(verdict, expected, calibration.promise)
    return Judgement(verdict, said, agreed, tiles, expected, calibration.promise)


def _sentence(verdict: Verdict, expected: Expected, promise: float) -> str:
    low, high = round(100 * expected.low), round(100 * expected.high)
    said = f"{verdict.capitalize()} what it learned: expect {low}–{high} % right"
    if verdict == "like":
        return f"{said}."
    return f"{said} instead of {round(100 * promise)} %; annotate some tiles of this image."


def _quantile(images: int) -> float:
    """Of Student's t for a two-sided `INTERVAL` after so many images."""
    from scipy.stats import t

    return float(t.ppf((1 + INTERVAL) / 2, images - 1))
