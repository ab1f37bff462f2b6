"""Whether a trained network is better than what it started from, by more than luck.

The simpler model stays unless another beats it by more than one standard error of the difference:
the one-standard-error rule (Breiman, Friedman, Olshen & Stone, "Classification and Regression
Trees", 1984, section 3.4.3; Hastie, Tibshirani & Friedman, "The Elements of Statistical Learning",
2009, section 7.10). The highest of several scores on a few images is partly luck, and the fitted
head, which has far fewer free numbers, keeps its score on other specimens better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.evaluate.metrics import counts_of_groups
from napari_sem_classify.core.evaluate.training_set import TrainingSet

DRAWS = 400
ONE_ERROR = 0.8413
"""Share of a normal distribution that lies below one standard error."""


@dataclass(frozen=True, slots=True)
class Choosing:
    """The cases that choose between models.

    Attributes
    ----------
    truth : int64, shape (N,)
    places : int64, shape (N,)
        Cases of one place (a specimen, a block of an image) are drawn together.
    """

    truth: NDArray[np.int64]
    places: NDArray[np.int64]
    n_classes: int

    def clearly_better(self, predicted: NDArray[np.int64], reference: NDArray[np.int64]) -> bool:
        """Whether macro-F1 is higher than the reference's by more than one standard error.

        Both are judged on the same draws of whole places (paired bootstrap), because what is easy
        for one is easy for the other. The spread over n places is n - 1 degrees of freedom wide:
        with few of them an error counts for more, by Student's t.

        Parameters
        ----------
        predicted, reference : int64, shape (N,)
            Classes that either says of every case.
        """
        from scipy.special import stdtrit

        counts = [
            counts_of_groups(self.truth, said, self.n_classes, self.places)
            for said in (predicted, reference)
        ]
        n = len(counts[0])
        gain = float(np.subtract(*(_macro_f1(each, np.ones((1, n))) for each in counts))[0])
        if gain <= 0 or n < 2:
            return gain > 0
        drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=DRAWS)
        gains = np.subtract(*(_macro_f1(each, drawn) for each in counts))
        error = float(np.nanstd(gains)) * np.sqrt(n / (n - 1))
        return bool(gain > float(stdtrit(n - 1, ONE_ERROR)) * error)


def cases_that_choose(data: TrainingSet, image: NDArray[np.int64]) -> Choosing:
    """The cases of a training set that choose, with their places.

    Where all cases of a class come from one place, nothing can be learned of another place of that
    class: they are then taken one by one.

    Parameters
    ----------
    data : TrainingSet
    image : int64, shape (N,)
        The image of each case.
    """
    if data.blocks is not None:
        place = data.blocks[image].astype(np.int64)
    else:
        groups = data.groups
        names = [groups[each] or f"\0{each}" for each in image]
        place = np.unique(names, return_inverse=True)[1].astype(np.int64)
    truth = data.labels[image]
    for k in np.unique(truth):
        mine = np.flatnonzero(truth == k)
        if len(np.unique(place[mine])) == 1:
            place[mine] = place.max() + 1 + image[mine]
    return Choosing(truth, place, len(data.class_names))


def _macro_f1(counts: NDArray[np.float64], draws: NDArray[Any]) -> NDArray[np.float64]:
    """Macro-F1 of each draw of places; classes neither true nor predicted do not enter."""
    sums = (draws @ counts.reshape(len(counts), -1)).reshape(len(draws), 3, -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        f1 = 2 * sums[:, 0] / (sums[:, 1] + sums[:, 2])
    return np.asarray(np.nanmean(f1, axis=1), dtype=np.float64)
