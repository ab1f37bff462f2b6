"""What is compared: the splits, a row of the table, and the published rows beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.evaluate.dataset_split import Split, random_split
from napari_sem_classify.core.evaluate.duplicates import clusters
from napari_sem_classify.core.evaluate.evaluate import Evaluation
from napari_sem_classify.core.evaluate.training_set import TrainingSet

GROUPS, RANDOM = "groups", "random"
"""The split that keeps together what belongs together, and the one at random."""

SPLITS = ("both", GROUPS, RANDOM)

SCORES = (
    "accuracy",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "weighted_precision",
    "weighted_f1",
)
"""Columns of the table; recall weighted by images is the accuracy."""

PUBLISHED: tuple[dict[str, Any], ...] = (
    {
        "method": "Modarres et al. 2017: Inception-v3, no augmentation",
        "split": RANDOM,
        "accuracy": 0.90,
        "macro_precision": 0.80,
        "macro_recall": 0.90,
    },
    {
        "method": "The article 2020: ResNet50, augmentation, 64 to 224 px",
        "split": RANDOM,
        "accuracy": 0.945,
        "macro_precision": 0.942,
        "macro_recall": 0.918,
        "minutes": 400.0,
    },
    {"method": "Reported since: ConvNeXt-T", "split": RANDOM, "accuracy": 0.978},
    {
        "method": "Reported since: ConvNeXt-T",
        "split": GROUPS,
        "accuracy": 0.972,
        "macro_f1": 0.956,
    },
)
"""On the ten classes of NFFA-EUROPE. At random near-duplicates lie on both sides: of the images
that are scored 23 % have one in training."""


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """One way of training, once, on one split.

    Attributes
    ----------
    method : str
        For the user.
    split : str
        `GROUPS` or `RANDOM`.
    seed : int or None
        None where nothing is random.
    evaluation : Evaluation or None
        None where it could not be done.
    problem : str
        Why it could not be done, else "".
    """

    method: str
    split: str
    seed: int | None
    evaluation: Evaluation | None
    seconds: float
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The row as plain values."""
        row: dict[str, Any] = {
            "method": self.method,
            "split": self.split,
            "seed": self.seed,
            "minutes": self.seconds / 60 if self.evaluation is not None else None,
            "problem": self.problem,
        }
        if self.evaluation is not None:
            found = self.evaluation.to_dict()
            row |= {key: found[key] for key in SCORES}
            intervals = found["intervals_95"]
            intervals["macro_recall"] = intervals["balanced_accuracy"]
            row["intervals_95"] = {key: intervals[key] for key in SCORES}
        return row


def belonging_together(data: TrainingSet) -> NDArray[np.int64]:
    """Number of the group of each image, for intervals: images of one group are no two cases.

    Images of one specimen or of one place. Where a class has a single specimen its images count by
    place, and where it has a single place one by one: nothing can be said of another one.

    Returns
    -------
    int64, shape (images,)
    """
    count = len(data.labels)
    found = clusters(count, data.pairs, data.groups)
    for closer in (clusters(count, data.pairs), np.arange(count)):
        for k in np.unique(data.labels):
            mine = np.flatnonzero(data.labels == k)
            if len(np.unique(found[mine])) == 1:
                found[mine] = closer[mine] + found.max() + 1
    return found


def splits_of(data: TrainingSet, split: Split, which: str, seed: int) -> dict[str, Split]:
    """The splits to compare on, by `GROUPS` and `RANDOM`.

    Parameters
    ----------
    split : Split
        The one that keeps together what belongs together.
    which : str
        Of `SPLITS`.

    Raises
    ------
    DatasetError
        When the images cannot be split at random.
    """
    found = {} if which == RANDOM else {GROUPS: split}
    if which != GROUPS:
        found[RANDOM] = random_split(data.labels, data.class_names, data.pairs, seed=seed)
    return found


def class_table(data: TrainingSet, split: Split) -> list[dict[str, Any]]:
    """Images of each class in all and on each side of the split."""
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    n_classes = len(data.class_names)
    counts = {"images": data.counts} | {
        name: np.bincount(data.labels[part], minlength=n_classes) for name, part in parts.items()
    }
    return [
        {"class": name, **{key: int(each[k]) for key, each in counts.items()}}
        for k, name in enumerate(data.class_names)
    ]
