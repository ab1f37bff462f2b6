"""How well does the program know whether a model holds on another specimen?

Each specimen in turn is left out; the others teach a model as the program does, which then judges
the images of the one left out: as they are, and as they would look had the operator turned a knob.
What is expected is set beside the true accuracy.

    python benchmarks/judgement.py [--sets super2 ebc2 ebc3] [--knobs as-is blur1 noise gamma1.4]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transfer import NETWORK_PX, Material, _frames, load, splits

from napari_sem_classify.core.classify.judgement import judgement_on
from napari_sem_classify.core.model.plane_scores import PlaneScores
from napari_sem_classify.core.model.recipe import Recipe
from napari_sem_classify.core.model.surroundings import surroundings_for
from napari_sem_classify.core.model.transfer import Judgement
from napari_sem_classify.core.network.engine import make_engine
from napari_sem_classify.core.teach.head_fit import FitOptions, Taught
from napari_sem_classify.core.teach.lesson import Lesson
from napari_sem_classify.core.teach.lesson_fit import fit_lesson, part_of
from napari_sem_classify.core.teach.looked import SeenTiles, Sight, look
from napari_sem_classify.core.teach.transfer import with_judgement

AS_IS = "as-is"
Pixels = NDArray[np.float64]


def _blurred(pixels: Pixels) -> Pixels:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(pixels, 1.0)


def _noisy(pixels: Pixels) -> Pixels:
    return pixels + np.random.default_rng(0).normal(0, 8, pixels.shape)


KNOBS: dict[str, Callable[[Pixels], Pixels]] = {
    "blur1": _blurred,
    "noise": _noisy,
    "gamma0.7": lambda pixels: 255 * (pixels / 255) ** 0.7,
    "gamma1.4": lambda pixels: 255 * (pixels / 255) ** 1.4,
    "contrast1.6": lambda pixels: pixels.mean() + 1.6 * (pixels - pixels.mean()),
}


def turned(source: str, data: Path, cache: Path, knob: str) -> dict[str, NDArray[np.float16]]:
    """Features of all tiles of each image, with a knob turned; kept in `cache`."""
    path = cache / f"judgement-{source}-{knob}.npz"
    if not path.exists():
        engine = make_engine(network_px=NETWORK_PX[source])
        recipe, found = Recipe(network_px=NETWORK_PX[source]), {}
        for key, (image, grid), _, _ in _frames(source, data):
            pixels = np.asarray(image.data[:], dtype=np.float64)
            other = np.clip(KNOBS[knob](pixels), 0, 255).astype(np.uint8)
            sight = Sight(key, replace(image, data=other, path=None), grid)
            found[key] = look(sight, recipe, engine).features.astype(np.float16)
        np.savez(path, **found)
    with np.load(path) as kept:
        return {key: kept[key] for key in kept.files}


def taught_on(lesson: Lesson) -> Taught:
    """A model as `teach` makes it."""
    how = FitOptions(lesson.places.image, lesson.places, specimens=lesson.specimen_numbers)
    return with_judgement(lesson, fit_lesson(lesson, surroundings_for(), how), 0)


def judged(taught: Taught, seen: SeenTiles) -> tuple[PlaneScores, Judgement]:
    """What a model says of an image, and what is to be expected of it."""
    how = taught.surroundings, taught.temperature
    scores = PlaneScores(taught.head, *how, seen.grid, stages=taught.stages)
    scores.add(seen.index, seen.features)
    assert taught.transfer is not None
    return scores, judgement_on(scores, taught.transfer)


def study(
    name: str, material: Material, data: Path, cache: Path, knobs: list[str]
) -> Iterator[tuple[str, float, Judgement]]:
    """Knob, true accuracy and judgement of each image of the specimens left out."""
    source, lesson = name.rstrip("23"), material.lesson
    lesson = replace(lesson, specimens=_specimens(material))
    others = {knob: turned(source, data, cache, knob) for knob in knobs if knob != AS_IS}
    for train, test in splits(material, name, 0):
        taught = taught_on(part_of(lesson, train))
        for image in np.unique(lesson.places.image[test]):
            rows = test[lesson.places.image[test] == image]
            key = lesson.keys[image]
            for knob in knobs:
                seen = lesson.seen[key]
                if knob != AS_IS:
                    mean = others[knob][key].mean(axis=0, dtype=np.float32)
                    seen = replace(seen, features=others[knob][key], mean=mean)
                scores, judgement = judged(taught, seen)
                said = scores.probabilities().reshape(-1, len(lesson.classes)).argmax(axis=1)
                right = said[lesson.numbers[rows]] == lesson.labels[rows]
                yield knob, float(right.mean()), judgement
                expected = judgement.expected
                told = "-" if expected is None else f"{expected.estimate:.3f}"
                print(
                    f"{name} {key[:28]:28} {knob:11} true {right.mean():.3f} expected {told} "
                    f"promised {judgement.promise or 0:.3f} {judgement.verdict}",
                    flush=True,
                )


def _specimens(material: Material) -> tuple[str, ...]:
    image = material.lesson.places.image
    return tuple(
        str(material.specimens[image == number][0]) for number in range(len(material.lesson.keys))
    )


def tell(name: str, knob: str, found: list[tuple[float, Judgement]]) -> None:
    """One row of the table."""
    gaps, inside, alarms, low = [], [], [], []
    for right, judgement in found:
        expected = judgement.expected
        if expected is not None:
            gaps.append(abs(expected.estimate - right))
            inside.append(expected.low <= right <= expected.high)
        low.append(right <= (judgement.promise or 0) - 0.1)
        alarms.append(judgement.verdict in ("unlike", "very unlike"))
    off = 100 * float(np.mean(gaps)) if gaps else float("nan")
    bad, warned = np.array(low), np.array(alarms)
    print(
        f"| {name} | {knob} | {len(found)} | {off:.1f} | "
        f"{sum(inside)} of {len(inside)} | {np.sum(bad & warned)} of {np.sum(bad)} | "
        f"{np.sum(~bad & warned)} of {np.sum(~bad)} |",
        flush=True,
    )


def main() -> None:
    """Print a row an image, then the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=["super2", "ebc2", "ebc3"])
    parser.add_argument("--knobs", nargs="+", default=[AS_IS, *KNOBS])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "tile-sets")
    given = parser.parse_args()
    for name in given.sets:
        material = load(name, given.data, given.cache)
        found = list(study(name, material, given.data, given.cache, given.knobs))
        print("| set | knob | images | mean error | in the interval | found low | false alarms |")
        for knob in given.knobs:
            tell(name, knob, [(right, each) for which, right, each in found if which == knob])


if __name__ == "__main__":
    main()
