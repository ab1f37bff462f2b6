"""What surrounds a tile, and the judgement of other specimens, for networks that were tuned.

Both are properties of features, as teaching has them. The trunk has learned from its tiles though,
so that they show nothing of tiles that it never saw: surroundings are chosen, and the judgement is
calibrated, on the images that were held back from the training.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.annotate.annotation_set import Annotations, ImageAnnotations, Mark
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.evaluate.dataset_split import OTHER_IMAGES, OTHER_SPECIMENS, Split
from napari_sem_classify.core.evaluate.training_set import TrainingSet
from napari_sem_classify.core.finetune.annotated_images import AnnotatedImages
from napari_sem_classify.core.finetune.annotated_judges import tuned_judges
from napari_sem_classify.core.finetune.finetune_result import FineTuned
from napari_sem_classify.core.model.card import FORMAT_VERSION
from napari_sem_classify.core.model.engines import engine_for
from napari_sem_classify.core.model.head import Head, TileClassifier
from napari_sem_classify.core.model.recipe import Recipe
from napari_sem_classify.core.model.surroundings import (
    ALONE,
    Surroundings,
    SurroundingsChoice,
    surroundings_for,
)
from napari_sem_classify.core.network.backbone import BACKBONES
from napari_sem_classify.core.teach.around import offered, scores_of
from napari_sem_classify.core.teach.folds import MIN_GROUPS
from napari_sem_classify.core.teach.head_fit import FitOptions
from napari_sem_classify.core.teach.judged_tiles import seen_of
from napari_sem_classify.core.teach.lesson import Lesson, TeachingSet, gather, part_of
from napari_sem_classify.core.teach.lesson_fit import chosen, teach_lesson
from napari_sem_classify.core.teach.logistic import (
    DEFAULT_STRENGTH,
    LOWEST_TEMPERATURE,
    fit_temperature,
)
from napari_sem_classify.core.teach.looked import look_at_all, sights_of
from napari_sem_classify.core.teach.taught_model import images_told
from napari_sem_classify.core.teach.teach_options import STAGES
from napari_sem_classify.core.teach.turned import look_at_missing

HELD_BACK = "on the images held back from the training"
NOT_HELD = "What surrounds a tile is not looked at: fewer than three images were held back."


@dataclass(frozen=True, slots=True)
class _Tiles:
    """The annotated tiles as the tuned network sees them, and what each was for.

    `learned` and `held` are rows of the lesson, `case` is the number of each tile in the set.
    """

    lesson: Lesson
    annotations: Annotations
    case: NDArray[np.int64]
    learned: NDArray[np.int64]
    held: NDArray[np.int64]


def with_surroundings(
    result: FineTuned,
    tiles: AnnotatedImages,
    data: TrainingSet,
    split: Split,
    device: str = "auto",
    job: Job | None = None,
) -> FineTuned:
    """Look around the annotated tiles with the tuned network, and at what was held back.

    Parameters
    ----------
    result : FineTuned
        Of `fine_tune`; a training that was stopped early is given back as it is.
    tiles : AnnotatedImages
        That `data` was made from.
    data, split
        That it was trained with.
    device : str
        What runs the network, see `make_engine`.

    Raises
    ------
    ImageError, DeviceError
        When an image cannot be read or the network not be run.
    Cancelled
        When the job was asked to stop.
    """
    classifier = result.classifier
    if result.cancelled or classifier.card.stages != STAGES:
        return result
    seen = _look(classifier, tiles, data, split, device, job)
    if not len(seen.learned):
        return result
    lesson, card = seen.lesson, classifier.card
    images = np.unique(lesson.places.image[seen.held])
    apart = split.speaks_for in (OTHER_SPECIMENS, OTHER_IMAGES)
    head, temperature = classifier.head, card.temperature
    choice = SurroundingsChoice(ALONE, (), NOT_HELD)
    if apart and len(images) >= MIN_GROUPS:
        choice, head, temperature = _choose(classifier, seen)
    surroundings, seed = choice.surroundings, int(card.record.get("seed", 0))
    learned = seen_of(part_of(lesson, seen.learned), surroundings, seed)
    held = None
    if apart and len(seen.held):
        held = seen_of(replace(part_of(lesson, seen.held), copies=None), surroundings, seed)
    sizes = BACKBONES[card.backbone_id].architecture.sizes_of(STAGES)
    stages, transfer = tuned_judges(learned, held, head, sizes, temperature, seed)
    used = seen.learned if len(split.test) == 0 else np.flatnonzero(~np.isin(seen.case, split.test))
    material = TeachingSet(seen.annotations, {})
    record = {
        **card.record,
        "images": images_told(material, part_of(lesson, used)),
        "surroundings": choice.to_dict(),
    }
    card = replace(
        card,
        temperature=temperature,
        surroundings=surroundings,
        transfer=transfer,
        format_version=FORMAT_VERSION,
        record=record,
    )
    found = replace(result, classifier=replace(classifier, card=card, head=head, stages=stages))
    notes: tuple[str, ...] = (choice.reason,) if surroundings != ALONE else ()
    notes += (transfer.reason,) if transfer.calibration is None else ()
    found = replace(found, notes=(*found.notes, *notes))
    return found if surroundings == ALONE else _scored_again(found, seen)


def _look(
    classifier: TileClassifier,
    tiles: AnnotatedImages,
    data: TrainingSet,
    split: Split,
    device: str,
    job: Job | None,
) -> _Tiles:
    """Let the tuned network see the tiles of the set, their neighbours and a sample around."""
    number = {
        (facts.key, (facts.specimen[0], facts.specimen[2], data.tile_px)): index
        for index, facts in enumerate(data.images)
    }
    images, annotated, key_of = {}, [], {}
    for each in tiles.images:
        # Planes of a stack are images of their own here, of the same specimen.
        name = each.key
        while name in images:
            name += "'"
        images[name], key_of[name] = each.image, each.key
        marks = {at: Mark(told) for at, told in each.marks.items() if (each.key, at) in number}
        annotated.append(
            ImageAnnotations(
                each.image.name,
                name,
                each.image.shape,
                each.image.path,
                marks,
                said_specimen=each.specimen,
            )
        )
    rules = {info.name: info.contains for info in tiles.classes if info.contains is not None}
    annotations = Annotations(tiles.classes, tuple(annotated), rules)
    card = classifier.card
    recipe = Recipe(card.intensity, card.network_px, card.backbone_id)
    engine = engine_for(classifier, device)
    sights = sights_of(annotations, images, data.tile_px, around=True)
    seen = look_at_all(sights, recipe, engine, job)
    train = set(split.train.tolist())
    taught = tuple(
        replace(
            each,
            marks={
                at: mark
                for at, mark in each.marks.items()
                if number[key_of[each.fingerprint], at] in train
            },
        )
        for each in annotated
    )
    learning = replace(annotations, images=taught)
    copies = look_at_missing(learning, sights, {}, recipe, lambda: engine, job)
    lesson = gather(annotations, seen, data.tile_px, recipe, copies)
    case = np.array([number[key_of[key], at] for key, at in lesson.tiles], dtype=np.int64)
    held = np.isin(case, np.concatenate([split.valid, split.test]))
    learned = np.isin(case, split.train)
    return _Tiles(lesson, annotations, case, np.flatnonzero(learned), np.flatnonzero(held))


def _choose(classifier: TileClassifier, seen: _Tiles) -> tuple[SurroundingsChoice, Head, float]:
    """What of the surroundings to use, with the head and the temperature that go with it.

    The network's own head looks at the tile alone. One that looks at more is fitted to the tiles
    that the network learned from, and has to be clearly better on those that it did not.
    """
    lesson, held = seen.lesson, seen.held
    ways = offered(lesson, surroundings_for())
    some = part_of(lesson, seen.learned)
    known = {ALONE: (classifier.head, classifier.card.temperature)}
    said = []
    for way in ways:
        sharp = replace(way, smoothing=0.0)
        if sharp not in known:
            head = teach_lesson(some, sharp, FitOptions(strength=DEFAULT_STRENGTH)).head
            logits = np.log(np.maximum(_said(lesson, held, head, sharp, 1.0), 1e-30))
            warm = max(LOWEST_TEMPERATURE, fit_temperature(logits, lesson.labels[held]))
            known[sharp] = head, warm
        said.append(_said(lesson, held, known[sharp][0], way, known[sharp][1]).argmax(axis=1))
    places = lesson.specimen_numbers[held]
    if len(np.unique(places)) < MIN_GROUPS:
        places = lesson.places.image[held]
    truth = lesson.labels[held]
    choice = chosen(ways, said, truth, places, len(lesson.classes), HELD_BACK)
    return choice, *known[replace(choice.surroundings, smoothing=0.0)]


def _said(
    lesson: Lesson,
    rows: NDArray[np.int64],
    head: Head,
    way: Surroundings,
    temperature: float,
) -> NDArray[np.float32]:
    """Probabilities (N, classes) of some tiles of the lesson, with what surrounds them."""
    found = np.empty((len(rows), len(lesson.classes)), dtype=np.float32)
    keys = np.array([lesson.tiles[row][0] for row in rows.tolist()])
    for key in np.unique(keys):
        mine = np.flatnonzero(keys == key)
        plane = scores_of(lesson, head, way, temperature, str(key)).probabilities()
        found[mine] = plane.reshape(-1, found.shape[1])[lesson.numbers[rows[mine]]]
    return found


def _scored_again(result: FineTuned, seen: _Tiles) -> FineTuned:
    """The score of the model with its surroundings, on the tiles that it had been scored on."""
    classifier, held = result.classifier, result.held_out
    card = classifier.card
    row_of = np.full(seen.case.max() + 1, -1)
    row_of[seen.case] = np.arange(len(seen.case))
    inside = held.image < len(row_of)
    there = np.flatnonzero(inside)[row_of[held.image[inside]] >= 0]
    rows = row_of[held.image[there]]
    of = seen.lesson, rows, classifier.head, card.surroundings
    held = replace(
        held,
        truth=held.truth[there],
        probabilities=_said(*of, card.temperature),
        uncalibrated=_said(*of, 1.0),
        groups=held.groups[there],
        image=held.image[there],
        tile=held.tile[there],
    )
    method = f"{card.scores['method']}; what surrounds a tile was chosen on held-back images too"
    scores = {**card.scores, **held.to_dict(), "method": method}
    card = replace(card, scores=scores)
    return replace(result, classifier=replace(classifier, card=card), held_out=held)
