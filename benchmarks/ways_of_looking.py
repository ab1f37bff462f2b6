"""Is the way of looking that the blocked score chooses the better one on specimens not seen?

Tiles are drawn, a recipe is chosen from them alone as Teach does it, and both the standard recipe
and the chosen one are scored on other specimens (NCM: on another part of the strip).

    python benchmarks/ways_of_looking.py [--sets ebc3 super3 ncm] [--sizes 64 128 224]
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from learning_curves import SETS, draw, on, split, teach
from tile_sets import TileSet, load_set

from napari_sem_classify.core.image.intensity import IntensityRecipe
from napari_sem_classify.core.model.recipe import STANDARD, Recipe
from napari_sem_classify.core.teach.folds import Folds, TilePlaces, plan_folds
from napari_sem_classify.core.teach.recipes import compare_recipes


def study(sets: dict[Recipe, TileSet], per_class: int, seeds: int) -> None:
    """Print true macro-F1 of the standard and the chosen recipe, and of each recipe alone."""
    recipes = list(sets)
    tiles = sets[STANDARD]
    chosen: Counter[str] = Counter()
    gains, true = [], {recipe: [] for recipe in recipes}
    for seed in range(seeds):
        train, test = split(tiles, seed)
        some = train[draw(tiles.labels[train], per_class, seed)]
        at = tiles.places
        places = TilePlaces(at.image[some], at.y[some], at.x[some], at.tile_px)
        groups = None if tiles.name == "ncm" else tiles.groups[some]
        folds = plan_folds(tiles.labels[some], tiles.class_names, groups=groups, places=places)
        pick = STANDARD
        if isinstance(folds, Folds):
            features = [sets[recipe].embeddings[some] for recipe in recipes]
            choice = compare_recipes(
                recipes, features, tiles.labels[some], tiles.class_names, folds
            )
            pick = choice.recipe
        for recipe, those in sets.items():
            true[recipe].append(on(those, teach(those, some), test).macro_f1)
        chosen[pick.title] += 1
        gains.append(true[pick][-1] - true[STANDARD][-1])
    print(
        f"{tiles.name} | {per_class} | chosen minus standard {np.mean(gains):+.3f} (worst "
        f"{min(gains):+.3f}, best {max(gains):+.3f}) | {dict(chosen)}"
    )
    for recipe, values in true.items():
        print(f"    {recipe.title}: {np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}")
    print(flush=True)


def main() -> None:
    """Run the study on all sets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "teach_cache")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[128, 224])
    wish = parser.parse_args()
    for name in wish.sets:
        tile = SETS[name]
        sizes = [size for size in wish.sizes if size != 64 or tile == 64]
        sets = {
            Recipe(IntensityRecipe(per_tile=per_tile), size): load_set(
                name, wish.data, wish.cache, tile, size, per_tile=per_tile
            )
            for size in sizes
            for per_tile in (False, True)
        }
        for per_class in (20, 100):
            study(sets, per_class, wish.seeds)


if __name__ == "__main__":
    main()
