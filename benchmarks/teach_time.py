"""What a user waits for in Teach on an image of 20,000 tiles, with made-up features.

    python benchmarks/teach_time.py [--tiles 20000] [--per-class 100] [--repeats 5]

prints the median and the best of the repeats, by the clock and in processor time: the refit with
the redrawn map (the tile alone and with its neighbours), the judgement of the image, and how alike
all tiles are to one. The clock speaks only on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from napari_sem_classify.core.classify.judgement import judgement_on
from napari_sem_classify.core.common.errors import Cancelled
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.card import ClassInfo, default_colours
from napari_sem_classify.core.model.plane_scores import PlaneScores
from napari_sem_classify.core.model.stage_heads import StageHeads
from napari_sem_classify.core.model.surroundings import ALONE, Surroundings
from napari_sem_classify.core.model.transfer import Calibration, Transfer
from napari_sem_classify.core.sem_io import image_from_array
from napari_sem_classify.core.teach.axes import find_axes
from napari_sem_classify.core.teach.folds import TilePlaces
from napari_sem_classify.core.teach.head_fit import fit_head
from napari_sem_classify.core.teach.learn import Learned, learn
from napari_sem_classify.core.teach.lesson import Lesson
from napari_sem_classify.core.teach.looked import SeenTiles, Sight
from napari_sem_classify.core.teach.similar import similarity
from napari_sem_classify.core.teach.teach_options import TeachOptions
from napari_sem_classify.core.tiles.grid import TileGrid

SIZES = (512, 1024, 2048)
TILE, COLS, CLASSES = 16, 200, 3


def seen_tiles(n_tiles: int) -> tuple[SemImage, SeenTiles, np.ndarray]:
    """An image, tiles of three classes in it that overlap as real ones do, and their classes."""
    rows = n_tiles // COLS
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES, rows * COLS)
    middles = generator.normal(0, 0.1, (CLASSES, sum(SIZES))).astype(np.float32)
    features = np.empty((len(labels), sum(SIZES)), np.float16)
    for row in range(rows):
        mine = slice(row * COLS, (row + 1) * COLS)
        noise = generator.standard_normal((COLS, sum(SIZES)), dtype=np.float32)
        features[mine] = middles[labels[mine]] + noise
    image = image_from_array(np.ones((rows * TILE, COLS * TILE), np.uint8), "image")
    grid = TileGrid(Area(0, rows * TILE, 0, COLS * TILE), TILE, TILE)
    mean = features.mean(axis=0, dtype=np.float32)
    return image, SeenTiles(grid, np.arange(grid.n_tiles), features, mean=mean), labels


def lesson_in(seen: SeenTiles, labels: np.ndarray, per_class: int) -> Lesson:
    """Some annotated tiles of each class of the image."""
    rows = np.sort(
        np.concatenate([np.flatnonzero(labels == k)[:per_class] for k in range(CLASSES)])
    )
    y, x = (each * TILE for each in np.divmod(rows, COLS))
    colours = default_colours(CLASSES)
    return Lesson(
        seen.features[rows].astype(np.float32),
        labels[rows],
        TilePlaces(np.zeros(len(rows), np.int64), y, x, TILE),
        ("image",),
        tuple(("image", (int(a), int(b), TILE)) for a, b in zip(y, x, strict=True)),
        tuple(ClassInfo(f"class {k}", colours[k]) for k in range(CLASSES)),
        numbers=rows,
        seen={"image": seen},
    )


def timed(what: str, work: Callable[[], object], repeats: int) -> None:
    """Print how long some work takes."""
    clock, processor = [], []
    for _ in range(repeats):
        start, busy = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - start)
        processor.append(time.process_time() - busy)
    print(
        f"{what}: median {np.median(clock):.3f} s, best {min(clock):.3f} s; "
        f"processor {np.median(processor):.3f} s, best {min(processor):.3f} s",
        flush=True,
    )


def first_map(lesson: Lesson, image: SemImage, seen: SeenTiles, around: Surroundings) -> None:
    """What `learn` does until the first map is there."""
    job = Job()

    def stop(_: Learned) -> None:
        job.cancel()

    try:
        view = Sight("image", image, seen.grid), seen
        learn(lambda: lesson, view, TeachOptions(TILE, before=around), job, stop)
    except Cancelled:
        pass


def main() -> None:
    """Time all three."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiles", type=int, default=20_000)
    parser.add_argument("--per-class", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    image, seen, labels = seen_tiles(given.tiles)
    lesson = lesson_in(seen, labels, given.per_class)
    n_tiles, told = len(labels), f"{CLASSES} × {given.per_class} annotated"
    for around in (ALONE, Surroundings(context=True)):
        what = f"refit and redraw, {n_tiles} tiles, {told}, {around.title}"
        timed(what, lambda way=around: first_map(lesson, image, seen, way), given.repeats)  # type: ignore[misc]
    head = fit_head(lesson.features, lesson.labels, CLASSES, 1e-3)
    ones = np.ones(sum(SIZES), np.float32)
    weight = head.weight / head.scale
    stages = StageHeads(weight, np.zeros((3, CLASSES), np.float32), SIZES, 0 * ones, ones)
    scores = PlaneScores(head, ALONE, 1.0, seen.grid, stages=stages)
    scores.add(seen.index, seen.features)
    third = (1 / CLASSES,) * CLASSES
    known = Transfer(Calibration(0.9, 0.0, 0.02, 5, 5, 1.0, 0.1, third, 0.01))
    timed(f"judgement, {n_tiles} tiles", lambda: judgement_on(scores, known), given.repeats)
    points = find_axes(seen.features).points(seen.features)
    timed(f"find similar, {n_tiles} tiles", lambda: similarity(points, points[7]), given.repeats)


if __name__ == "__main__":
    main()
