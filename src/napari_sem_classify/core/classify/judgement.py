"""Whether a model holds on an image, from what it says of the image's tiles."""

from __future__ import annotations

from napari_sem_classify.core.image.fingerprint import fingerprint
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.card import ModelCard
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.model.plane_scores import PlaneScores
from napari_sem_classify.core.model.transfer import (
    LEARNED_HERE,
    NO_JUDGEMENT,
    Judgement,
    Transfer,
    judge,
)


def judgement_of(classifier: TileClassifier, image: SemImage, scores: PlaneScores) -> Judgement:
    """Judge a model on an image.

    Parameters
    ----------
    scores : PlaneScores
        Of the model, of all tiles or a sample of them.

    Raises
    ------
    ImageError
        When the image cannot be read.
    """
    card = classifier.card
    if card.transfer is None:
        return NO_JUDGEMENT
    if learned_from(card, image):
        return LEARNED_HERE
    return judgement_on(scores, card.transfer)


def judgement_on(scores: PlaneScores, known: Transfer) -> Judgement:
    """Judge by the scores of an image's tiles alone; they hold the heads of the stages."""
    agreement, distance = scores.agreement(), scores.distance()
    assert agreement is not None
    assert distance is not None
    confidence = scores.probabilities(smoothed=False).max(axis=-1)
    return judge(agreement.ravel(), confidence.ravel(), distance.ravel(), known)


def learned_from(card: ModelCard, image: SemImage) -> bool:
    """Whether a model learned from this image, as its record says."""
    images = card.record.get("images")
    rows = images if isinstance(images, list) else []
    prints = {row.get("fingerprint") for row in rows if isinstance(row, dict)}
    return fingerprint(image) in prints
