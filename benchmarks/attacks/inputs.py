"""Small real inputs for the attacks: images, labels, class folders, and a tiny network."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.attacks import harness

TILE = 32
CLASSES = "0=matrix,1=oxide"
ON_CPU = ("--device", "cpu", "--backend", "torch")


def use_tiny_network() -> None:
    """Put a tiny network where the usual one stands, in this process and in forks of it."""
    from tiny_backbone import SIZES, tiny_resnet, write_weights

    from napari_sem_classify.core.network.architecture import Architecture
    from napari_sem_classify.core.network.backbone import BACKBONES, DEFAULT_BACKBONE
    from napari_sem_classify.core.network.engine.factory import forget_engines

    path = Path(os.environ["XDG_DATA_HOME"]) / "tiny.safetensors"
    # In a process of its own: this one must not have used threads when it forks.
    if not path.is_file() and harness.run(lambda: write_weights(path) and 0).status:
        raise RuntimeError("The weights of the tiny network could not be made.")
    BACKBONES[DEFAULT_BACKBONE] = replace(
        BACKBONES[DEFAULT_BACKBONE],
        architecture=Architecture("tiny ResNet", tiny_resnet, SIZES),
        filename=str(path),
        sha256="",
    )
    forget_engines()


def two_phases(rows: int, cols: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A generated image of coarse oxide in fine matrix, and its labels."""
    from labelled_images import grains

    labels = np.zeros((rows, cols), np.uint8)
    labels[: rows // 2, cols // 3 :] = 1
    fine, coarse = grains(rows, cols, 2, seed), grains(rows, cols, 8, seed + 1)
    return np.where(labels == 1, coarse, fine), labels


def write_images(folder: Path, count: int, *, rows: int = 192, cols: int = 256) -> list[Path]:
    """Images ``field_0.png`` and so on, with labels of the same names in ``labels/``."""
    from PIL import Image

    (folder / "labels").mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        image, labels = two_phases(rows, cols, seed=100 * number)
        paths.append(folder / f"field_{number}.png")
        Image.fromarray(image).save(paths[-1])
        Image.fromarray(labels).save(folder / "labels" / paths[-1].name)
    return paths


def teach_arguments(images: list[Path], out: Path, *further: str) -> list[str]:
    """Arguments of ``teach`` on images from `write_images`."""
    pairs = [
        part
        for path in images
        for part in ("--image", str(path), "--labels", str(path.parent / "labels" / path.name))
    ]
    asked = ("--classes", CLASSES, "--tile", str(TILE), "--out", str(out), *ON_CPU)
    return ["teach", *pairs, *asked, *further]


def taught_model(folder: Path) -> Path:
    """A model taught on two images, without attack."""
    images = write_images(folder / "taught", 2)
    path = folder / "model.safetensors"
    ran = harness.run(teach_arguments(images, path))
    if ran.status:
        raise RuntimeError(f"teach failed: {ran.err}")
    return path


def write_class_folders(folder: Path, each: int = 10) -> Path:
    """Class folders for ``train``."""
    from labelled_images import write_classes

    return write_classes(folder, {"fine": each, "coarse": each, "rough": each})
