"""The whole way on the command line: `teach` on some specimens, `classify` the images of others.

NASA's coatings, 64 px tiles, 0 = background, 1 = oxide. The specimens are dealt into folds; in each
fold a model is taught by the command line on the images of the other folds and its `tiles.csv` is
compared with the masks. Run from the repository:

    python benchmarks/teach_and_classify.py [--data ../shared/data] [--folds 4]
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from teach_nasa import majority, neighbours
from tile_sets import TileSet, load_index, load_set, specimen_of

from napari_sem_classify.core.evaluate.metrics import Scores, score

TILE = 64
CLASSES = "0=background,1=oxide"
NAMES = ("background", "oxide")
WAYS = ("majority class", "5-NN, intensity statistics", "teach + classify")


def run(*words: object) -> str:
    """Run the program, as a user would."""
    command = [sys.executable, "-m", "napari_sem_classify", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "teach_cache")
    parser.add_argument("--folds", type=int, default=4)
    chosen = parser.parse_args()
    index = load_index(chosen.data)
    images = sorted((chosen.data / "nasa" / "images").glob("ebc__*.png"))
    specimens = [
        specimen_of(path.name, index[f"nasa/images/{path.name}"]["group"]) for path in images
    ]
    fold_of = {name: n % chosen.folds for n, name in enumerate(sorted(set(specimens)))}
    tiles = load_set("ebc2", chosen.data, chosen.cache)
    counts: dict[str, list[Scores]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for fold in range(chosen.folds):
            test = [n for n, name in enumerate(specimens) if fold_of[name] == fold]
            train = [n for n in range(len(images)) if n not in test]
            model, out = Path(folder) / f"{fold}.safetensors", Path(folder) / f"out{fold}"
            words = []
            for n in train:
                mask = chosen.data / "nasa" / "masks" / images[n].name
                words += ["--image", images[n], "--labels", mask, "--specimen", specimens[n]]
            run("teach", *words, "--classes", CLASSES, "--tile", TILE, "--out", model)
            run("classify", *[images[n] for n in test], "--model", model, "--out", out)
            sides = [np.flatnonzero(np.isin(tiles.places.image, side)) for side in (train, test)]
            assert not set(tiles.groups[sides[0]]) & set(tiles.groups[sides[1]])
            answers = (
                majority(tiles, *sides),
                neighbours(tiles, *sides),
                np.concatenate([_classes(out, images[n], tiles, n) for n in test]),
            )
            print(f"fold {fold}: {', '.join(sorted({specimens[n] for n in test}))}", flush=True)
            for way, answer in zip(WAYS, answers, strict=True):
                each = score(tiles.labels[sides[1]], answer, len(NAMES))
                counts[way].append(each)
                print(f"    {way}: accuracy {each.accuracy:.3f}, macro-F1 {each.macro_f1:.3f}")
    print("way | accuracy | macro-F1 | macro-F1 of all tiles together")
    for way in WAYS:
        each = np.array([[s.accuracy, s.macro_f1] for s in counts[way]])
        pooled = Scores(np.sum([s.confusion for s in counts[way]], axis=0))
        spread = [
            f"{m:.3f} ± {d:.3f}" for m, d in zip(each.mean(0), each.std(0, ddof=1), strict=True)
        ]
        print(" | ".join([way, *spread, f"{pooled.macro_f1:.3f}"]))


def _classes(out: Path, image: Path, tiles: TileSet, number: int) -> np.ndarray:
    """Classes that the table gives the tiles of an image, mixed tiles left out."""
    with (out / f"{image.stem}.tiles.csv").open(encoding="utf-8") as file:
        found = {
            (int(row["y"]), int(row["x"])): NAMES.index(row["class"])
            for row in csv.DictReader(file)
        }
    mine = tiles.places.image == number
    places = zip(tiles.places.y[mine].tolist(), tiles.places.x[mine].tolist(), strict=True)
    return np.array([found[place] for place in places])


if __name__ == "__main__":
    main()
