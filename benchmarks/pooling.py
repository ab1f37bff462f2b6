"""What else could be pooled from the network, and how else a head could be fitted: what pays?

Tiles are drawn, split and scored as in `learning_curves.py`; only the features or the fit differ.

    python benchmarks/pooling.py [--sets super3 ncm ebc3]
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from learning_curves import SETS, draw, split, teach
from numpy.typing import NDArray
from tile_sets import Describe, TileSet, load_described, load_set

from napari_sem_classify.core.evaluate.metrics import score
from napari_sem_classify.core.image.intensity import IntensityRecipe, measure_range
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE, IMAGENET, load_backbone
from napari_sem_classify.core.tiles.grid import TileGrid

NETWORK_PX, BATCH, SKETCH = 128, 32, 64
Ways = dict[str, NDArray[np.float32]]


def pooled() -> Describe:
    """Mean, maximum, spread and second-order pooling of stages 2 to 4; the same with surroundings.

    Second order: channels projected at random to `SKETCH` numbers, their mean products over the
    tile, with signed square roots (Lin et al. 2015, "Bilinear CNN models").
    """
    torch.set_grad_enabled(False)
    network = load_backbone(DEFAULT_BACKBONE).eval()
    lot = torch.Generator().manual_seed(0)
    sketches = [torch.randn(c, SKETCH, generator=lot) / c**0.5 for c in (512, 1024, 2048)]
    upper = torch.triu_indices(SKETCH, SKETCH)
    centre = torch.tensor(IMAGENET.mean)[:, None, None]
    spread = torch.tensor(IMAGENET.std)[:, None, None]

    def run(tiles: torch.Tensor) -> list[torch.Tensor]:
        x = torch.nn.functional.interpolate(
            tiles[:, None], (NETWORK_PX, NETWORK_PX), mode="bilinear", antialias=True
        )
        x = ((x - centre) / spread).contiguous(memory_format=torch.channels_last)
        x = network.maxpool(network.relu(network.bn1(network.conv1(x))))
        maps = [x := stage(x) for stage in (network.layer1, network.layer2)]
        maps += [x := stage(x) for stage in (network.layer3, network.layer4)]
        return maps[1:]

    def describe(image: SemImage, grid: TileGrid) -> Ways:
        measured = measure_range(image, IntensityRecipe())
        area, half = grid.area, grid.tile // 2
        pixels = (image.read(area).astype(np.float32) - measured.low) / (
            measured.high - measured.low
        )
        pixels = np.clip(pixels, 0, 1)
        wide = np.pad(pixels, half, mode="reflect")
        corners = [(w.top - area.top, w.left - area.left) for w in grid.windows()]
        found: dict[str, list[NDArray[np.float32]]] = {}
        for start in range(0, len(corners), BATCH):
            some = corners[start : start + BATCH]
            side = grid.tile
            near = np.stack([pixels[y : y + side, x : x + side] for y, x in some])
            far = np.stack([wide[y : y + 2 * side, x : x + 2 * side] for y, x in some])
            maps = run(torch.from_numpy(near))
            parts = {
                "mean": torch.cat([m.mean((2, 3)) for m in maps], 1),
                "max": torch.cat([m.amax((2, 3)) for m in maps], 1),
                "spread": torch.cat([m.std((2, 3)) for m in maps], 1),
                "around": torch.cat([m.mean((2, 3)) for m in run(torch.from_numpy(far))], 1),
            }
            second = []
            for m, sketch in zip(maps, sketches, strict=True):
                flat = m.flatten(2).transpose(1, 2) @ sketch
                product = (flat.transpose(1, 2) @ flat / flat.shape[1])[:, upper[0], upper[1]]
                second.append(product.sign() * product.abs().sqrt())
            parts["second order"] = torch.cat(second, 1)
            for key, value in parts.items():
                found.setdefault(key, []).append(value.numpy().astype(np.float32))
        return {key: np.concatenate(values) for key, values in found.items()}

    return describe


def head(tiles: TileSet, some: NDArray[np.int64], test: NDArray[np.int64]) -> NDArray[np.int64]:
    """The program's own head."""
    return teach(tiles, some).head.logits(tiles.embeddings[test]).argmax(axis=1)


def shrunk(tiles: TileSet, some: NDArray[np.int64], test: NDArray[np.int64]) -> NDArray[np.int64]:
    """Linear discriminant analysis with Ledoit–Wolf shrinkage, equal priors.

    On the 256 first principal components at most: the covariance of 3584 features does not fit.
    """
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known = tiles.embeddings[some]
    size = min(256, len(some) - 1)
    reduce = make_pipeline(StandardScaler(), PCA(size, random_state=0)).fit(known)
    n = len(np.unique(tiles.labels[some]))
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=np.full(n, 1 / n))
    model.fit(reduce.transform(known), tiles.labels[some])
    return model.predict(reduce.transform(tiles.embeddings[test]))


def study(tiles: TileSet, ways: Ways, seeds: int) -> None:
    """Print macro-F1 at 5, 20 and 100 tiles a class, and the gain over the program's way."""
    rows: dict[str, dict[int, list[float]]] = {}
    fits: list[tuple[str, Callable[..., NDArray[np.int64]], NDArray[np.float32]]]
    fits = [(name, head, features) for name, features in ways.items()]
    fits.append(("mean of stages 2 to 4, LDA with shrinkage", shrunk, tiles.embeddings))
    for per_class in (5, 20, 100):
        for seed in range(seeds):
            train, test = split(tiles, seed)
            some = train[draw(tiles.labels[train], per_class, seed)]
            for name, fit, features in fits:
                predicted = fit(replace(tiles, embeddings=features), some, test)
                found = score(tiles.labels[test], predicted, len(tiles.class_names)).macro_f1
                rows.setdefault(name, {}).setdefault(per_class, []).append(found)
    first = next(iter(rows.values()))
    for name, values in rows.items():
        cells = [
            f"{np.mean(v):.3f} ({np.mean(np.subtract(v, first[n])):+.3f} ± "
            f"{np.std(np.subtract(v, first[n]), ddof=1):.3f})"
            for n, v in values.items()
        ]
        print(f"{tiles.name} | {name} | " + " | ".join(cells), flush=True)


def combined(tiles: TileSet, found: Ways | None, sizes: Ways) -> Ways:
    """The ways that are compared, the program's own first."""
    own = tiles.embeddings

    def join(*parts: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.concatenate(parts, axis=1)

    ways = {
        "mean of stages 2 to 4": own,
        "stage 4 alone": own[:, -2048:],
        "stages 3 and 4": own[:, -3072:],
        **{f"128 px and {name}": join(own, features) for name, features in sizes.items()},
    }
    if found is not None:
        mean = found["mean"]
        ways |= {
            "mean and maximum": join(mean, found["max"]),
            "mean and spread": join(mean, found["spread"]),
            "second order alone": found["second order"],
            "mean and second order": join(mean, found["second order"]),
            "tile and its surroundings": join(mean, found["around"]),
        }
    return ways


def main() -> None:
    """Run the study on all sets."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "teach_cache")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--sizes", nargs="*", type=int, default=[64], help="Further inputs, in px.")
    parser.add_argument("--means-only", action="store_true", help="Without other pooling.")
    wish = parser.parse_args()
    for name in wish.sets:
        place = (name, wish.data, wish.cache, SETS[name])
        tiles = load_set(*place)
        found = None if wish.means_only else load_described(*place, pooled(), "pooled")
        sizes = {f"{px} px": load_set(*place, px).embeddings for px in wish.sizes}
        study(tiles, combined(tiles, found, sizes), wish.seeds)


if __name__ == "__main__":
    main()
