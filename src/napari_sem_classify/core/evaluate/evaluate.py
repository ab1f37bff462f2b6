"""How good a model is on labelled images: every score of the article, intervals, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.classify.record import file_sha256
from napari_sem_classify.core.common.errors import DatasetError, SemClassifyError
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.evaluate import metrics
from napari_sem_classify.core.evaluate.dataset import ImageRecord, Listing, RowCrop, one_by_one
from napari_sem_classify.core.evaluate.intervals import wilson_interval
from napari_sem_classify.core.evaluate.set_reading import open_cropped, tile_grid
from napari_sem_classify.core.evaluate.tile_ranges import tile_ranges
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.model.plane_scores import scores_on
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.base import Engine

SHORT_HASH = 16
"""Hexadecimal digits of a sha256 that name an image in a model's record."""

COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Probabilities of labelled cases, from which every score follows.

    Attributes
    ----------
    class_names : tuple of str
        Of the model.
    truth : int64, shape (N,)
    probabilities, uncalibrated : float32, shape (N, classes)
        With the model's temperature and without.
    groups : shape (N,)
        Cases of one group (image, specimen) are not independent; intervals draw them together.
    what : str
        What a case is: "images" or "tiles".
    paths : tuple of str
        File of each case; empty where unknown.
    left_out : mapping of str to str
        Files that could not be used, and why.
    """

    class_names: tuple[str, ...]
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    uncalibrated: NDArray[np.float32]
    groups: NDArray[Any]
    what: str = "images"
    paths: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Likeliest class of each case, shape (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def scores(self) -> metrics.Scores:
        """Confusion matrix and what follows from it."""
        return metrics.score(self.truth, self.predicted, len(self.class_names))

    def calibration(self, *, before: bool = False) -> metrics.Reliability:
        """Confidence against share of right ones, after the temperature or before."""
        return metrics.reliability(self.uncalibrated if before else self.probabilities, self.truth)

    def coverage(self) -> list[tuple[float, float, float]]:
        """Accuracy when the least confident cases are left to a person.

        Returns
        -------
        list of (share answered, accuracy among them, lowest confidence among them)
            At each of `COVERAGES`.
        """
        confidence = self.probabilities.max(axis=1)
        order = np.argsort(-confidence, kind="stable")
        right = (self.predicted == self.truth)[order]
        rows = []
        for share in COVERAGES:
            count = max(1, round(share * len(order)))
            rows.append((share, float(right[:count].mean()), float(confidence[order[count - 1]])))
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Every score as plain values, for JSON and for a model card."""
        found = self.scores
        intervals = metrics.bootstrap_intervals(
            self.truth, self.predicted, len(self.class_names), groups=self.groups
        )
        return {
            self.what: found.n,
            "accuracy": found.accuracy,
            "balanced_accuracy": found.balanced_accuracy,
            "macro_precision": found.macro_precision,
            "macro_recall": found.balanced_accuracy,
            "macro_f1": found.macro_f1,
            "weighted_precision": found.weighted(found.precision),
            "weighted_recall": found.weighted(found.recall),
            "weighted_f1": found.weighted_f1,
            "intervals_95": {key: list(pair) for key, pair in intervals.items()},
            "ece": self.calibration().ece,
            "ece_before_temperature": self.calibration(before=True).ece,
            "coverage": [
                {"share": share, "accuracy": accuracy, "lowest_confidence": lowest}
                for share, accuracy, lowest in self.coverage()
            ],
            "classes": {row["class"]: row for row in self.class_rows()},
            "confusion": found.confusion.tolist(),
        }

    def class_rows(self) -> list[dict[str, Any]]:
        """Scores of each class with 95 % Wilson intervals."""
        found = self.scores
        recalls, predicted = found.recall_intervals(), found.confusion.sum(axis=0)
        return [
            {
                "class": name,
                self.what: int(found.support[k]),
                "precision": float(found.precision[k]),
                "precision_interval_95": list(
                    wilson_interval(int(found.confusion[k, k]), int(predicted[k]))
                ),
                "recall": float(found.recall[k]),
                "recall_interval_95": list(recalls[k]),
                "f1": float(found.f1[k]),
            }
            for k, name in enumerate(self.class_names)
        ]


def evaluate_images(
    listing: Listing,
    classifier: TileClassifier,
    *,
    tile_px: int | None = None,
    crop: RowCrop | None = None,
    engine: Engine | None = None,
    job: Job | None = None,
) -> Evaluation:
    """Classify labelled images; an image's probabilities are the mean over its tiles.

    Parameters
    ----------
    listing : Listing
        Its classes have to be the model's, in any order; some may be missing.
    tile_px : int, optional
        Side of the tiles; as the model learned where None.
    crop : RowCrop, optional
        Rows to use; those that the model learned from where None.
    engine : Engine, optional
        Made for the model where None.
    job : Job, optional
        Told and checked once per image.

    Raises
    ------
    DatasetError
        When a class is unknown to the model, or no image can be used.
    ModelError, DeviceError
        When the model cannot be run.
    Cancelled
        When the job was asked to stop.
    """
    label_of = _matched(listing.class_names, classifier)
    if engine is None:
        from napari_sem_classify.core.model.engines import engine_for

        engine = engine_for(classifier)
    settings = classifier.card.record.get("settings", {})
    if crop is None and settings.get("crop_rows"):
        crop = RowCrop.parse(str(settings["crop_rows"]))
    whole = tile_px is None and bool(settings.get("whole_images"))
    ranges = tile_ranges(listing, crop, job)
    reporter = Reporter(len(listing.records), "Classifying images", job)
    reporter.check()
    untempered = replace(classifier, card=replace(classifier.card, temperature=1.0))
    after: list[NDArray[np.float32]] = []
    before: list[NDArray[np.float32]] = []
    used: list[ImageRecord] = []
    groups: list[str] = []
    left_out: dict[str, str] = {}
    for number, record in enumerate(listing.records):
        try:
            image = ranges.apply(open_cropped(record.path, crop))
            grid, features = _features(image, classifier, engine, tile_px, whole)
        except SemClassifyError as error:
            left_out[str(record.path)] = str(error)
        else:
            after.append(_mean(classifier, grid, features))
            before.append(_mean(untempered, grid, features))
            used.append(record)
            groups.append(record.group or f"image {number}")
        reporter.advance()
    if not used:
        raise DatasetError(
            f"No image of {listing.source} could be used: {next(iter(left_out.values()))}"
        )
    return Evaluation(
        class_names=classifier.card.class_names,
        truth=np.array([label_of[record.label] for record in used], dtype=np.int64),
        probabilities=np.stack(after),
        uncalibrated=np.stack(before),
        groups=np.array(groups),
        paths=tuple(str(record.path) for record in used),
        left_out=left_out,
        notes=listing.notes + ranges.notes + _notes(used, left_out, classifier),
    )


def _notes(
    used: Sequence[ImageRecord], left_out: Mapping[str, str], classifier: TileClassifier
) -> tuple[str, ...]:
    notes = []
    if left_out:
        count = f"{len(left_out)} images could not be used and were left out."
        notes += [count, *one_by_one(left_out.values())]
    learned = set(classifier.card.record.get("learned_from", ()))
    seen = sum(
        (file_sha256(record.path) or "")[:SHORT_HASH] in learned for record in used if learned
    )
    if seen:
        notes.append(
            f"{seen} of the {len(used)} images are ones that the model learned from: "
            "on new images it will do worse."
        )
    return tuple(notes)


def _matched(names: Sequence[str], classifier: TileClassifier) -> dict[int, int]:
    known = classifier.card.class_names
    unknown = [name for name in names if name not in known]
    if unknown:
        raise DatasetError(
            f"The model {classifier.card.name} does not know the class {unknown[0]!r}: "
            f"it knows {', '.join(known[:20])}."
        )
    return {label: known.index(name) for label, name in enumerate(names)}


def _features(
    image: SemImage,
    classifier: TileClassifier,
    engine: Engine,
    tile_px: int | None,
    whole: bool,
) -> tuple[TileGrid, NDArray[np.float32]]:
    """An image's tiles and their features, NaN for those without data."""
    from napari_sem_classify.core.classify.options import ClassifyOptions
    from napari_sem_classify.core.network.features import embed_image

    card = classifier.card
    options = ClassifyOptions(tile_px=tile_px)
    grid = tile_grid(image, None) if whole else options.grid_for(image, card).grid
    plane = (0,) * len(image.leading_shape)
    return grid, embed_image(PlaneTiles(image, grid, plane=plane), engine, card.intensity)


def _mean(
    classifier: TileClassifier, grid: TileGrid, features: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Mean probabilities of an image's tiles, shape (classes,)."""
    scores = scores_on(classifier, grid)
    known = np.flatnonzero(~np.isnan(features).any(axis=1))
    scores.add(known, features[known])
    found: NDArray[np.float32] = scores.probabilities()[scores.known].mean(axis=0)
    return found
