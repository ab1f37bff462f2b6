"""A generated backscatter micrograph of a coating in cross-section, with its truth.

It stands in for a real image where none is at hand: the sample that the viewer offers, the demo,
and the images from which the demo's own model is taught. From top to bottom: a sprayed, porous
coating, a grown oxide layer, and a polycrystalline substrate; cracks run through all three. The
same seed gives the same image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.job import Job, Progress
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.sample.structure import (
    crack_field,
    grains,
    interface,
    lamellae,
    pores,
    smooth_noise,
)

PIXEL_SIZE_NM = 25.0
CLASS_NAMES = ("substrate", "coating", "oxide", "crack")
SUBSTRATE, COATING, OXIDE, CRACK = 1, 2, 3, 4
BAR_SHARE = 1 / 12
STEPS = 5

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Sample:
    """A generated image with its truth.

    Attributes
    ----------
    image : uint8, shape (rows, cols)
        Specimen and, below it, the info bar.
    truth : uint8, shape (rows, cols)
        0 on the info bar, else 1 + the place of the pixel's class in `class_names`.
    pixel_size_nm : float
    class_names : tuple of str
    area : Area
        The specimen, without the info bar.
    """

    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    pixel_size_nm: float
    class_names: tuple[str, ...]
    area: Area


def generate_cross_section(
    shape: tuple[int, int] = (1536, 2048),
    seed: int = 0,
    *,
    info_bar: bool = True,
    job: Job | None = None,
) -> Sample:
    """Generate a coating cross-section.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the image, at least 256 × 256; with an info bar the lowest twelfth of
        the rows is the bar.
    seed : int
        The same seed and shape give the same image.
    info_bar : bool
        Whether to burn an info bar with scale bar into the image, as microscopes do.

    Returns
    -------
    Sample

    Raises
    ------
    Cancelled
        When the job was asked to stop.
    ValueError
        When `shape` is too small to show the layers.
    """
    if min(shape) < 256:
        raise ValueError(f"a cross-section needs 256 × 256 px or more, not {shape}")
    bar_rows = round(shape[0] * BAR_SHARE) if info_bar else 0
    rows, cols = shape[0] - bar_rows, shape[1]
    rng = np.random.default_rng(seed)

    def tell(done: int) -> None:
        if job is not None:
            job.check()
            job.tell(Progress(done, STEPS, "Making the sample"))

    tell(0)
    truth, layer_depth = _layers(rng, (rows, cols))
    cracked, edge_distance = crack_field(rng, truth, layer_depth)
    tell(1)
    substrate = _substrate(rng, truth.shape)
    tell(2)
    coating = _coating(rng, truth.shape)
    tell(3)
    grey = np.where(truth == SUBSTRATE, substrate, coating)
    oxide = _oxide(rng, truth.shape, layer_depth)
    tell(4)
    grey = np.where(truth == OXIDE, oxide, grey).astype(np.float32)
    grey = _edges(grey, cracked, edge_distance)
    truth[cracked] = CRACK
    image, full_truth = np.zeros((2, *shape), dtype=np.uint8)
    image[:rows], full_truth[:rows] = _microscope(rng, grey), truth
    if info_bar:
        from napari_sem_classify.core.sample.drawn_bar import draw_info_bar

        image[rows:] = draw_info_bar(bar_rows, cols, PIXEL_SIZE_NM)
    return Sample(image, full_truth, PIXEL_SIZE_NM, CLASS_NAMES, Area(0, rows, 0, cols))


def _layers(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[NDArray[np.uint8], Floats]:
    """Class of each pixel without cracks, and depth below the oxide's upper face in pixels."""
    rows, cols = shape
    top = rows * rng.uniform(0.38, 0.46) + interface(rng, cols, 0.045 * rows)
    thickness = 0.15 * rows * (1 + 0.25 * interface(rng, cols, 1.0))
    thickness = np.maximum(thickness, 0.07 * rows)
    y = np.arange(rows, dtype=np.float32)[:, None]
    # The lower face is rougher: oxide grows inward along grain boundaries.
    lower = top + thickness + interface(rng, cols, 0.012 * rows, detail=4)
    truth = np.full(shape, SUBSTRATE, dtype=np.uint8)
    truth[y < lower[None, :]] = OXIDE
    truth[y < top[None, :]] = COATING
    depth = (y - top[None, :].astype(np.float32)).astype(np.float32)
    return truth, depth


def _substrate(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Grains with channelling contrast, some twinned, with small bright and dark particles."""
    label, boundary = grains(rng, shape, size=rng.uniform(85, 110))
    count = int(label.max()) + 1
    level = rng.normal(128.0, 13.0, count).astype(np.float32)[label]
    angle = rng.uniform(0, np.pi, count).astype(np.float32)[label]
    period = rng.uniform(14, 60, count).astype(np.float32)[label]
    twinned = (rng.random(count) < 0.2)[label]
    y, x = np.indices(shape, dtype=np.float32)
    phase = (np.cos(angle) * x + np.sin(angle) * y) / period
    bands = np.where((phase % 1.0) < 0.3, 9.0, -3.0)
    grey = level + np.where(twinned, bands, 0.0)
    grey -= 16.0 * np.exp(-(boundary**2) / 2.0)
    particles = smooth_noise(rng, shape, 2.2)
    grey = np.where(particles > 3.25, 205.0, grey)
    grey = np.where(particles < -3.45, 66.0, grey)
    return grey.astype(np.float32)


def _coating(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Flattened splats of slightly different brightness, with flat and round pores."""
    grey = 172.0 + lamellae(rng, shape)
    hole, inside = pores(rng, shape)
    # Backscattered electrons escape more easily at a pore's rim; its floor is dark, not black.
    grey += 22.0 * np.exp(-np.maximum(hole, 0.0) / 1.6) * (hole > 0)
    floor = 38.0 + 14.0 * smooth_noise(rng, shape, 3.0) + 46.0 * np.exp(-inside / 1.8)
    return np.where(inside > 0, floor, grey).astype(np.float32)


def _oxide(rng: np.random.Generator, shape: tuple[int, int], depth: Floats) -> Floats:
    """A dark, dense layer of fine columnar grains with a few bright mixed-oxide spots."""
    label, boundary = grains(rng, shape, size=20.0, stretch=2.6)
    count = int(label.max()) + 1
    grey = 84.0 + rng.normal(0.0, 4.5, count).astype(np.float32)[label]
    grey -= 7.0 * np.exp(-(boundary**2) / 1.5)
    grey += 5.0 * smooth_noise(rng, shape, 40.0)
    spots = smooth_noise(rng, shape, (3.0, 4.5)) > 2.9 + 0.006 * np.maximum(depth, 0.0)
    return np.where(spots, 132.0, grey).astype(np.float32)


def _edges(grey: Floats, cracked: Bools, edge_distance: Floats) -> Floats:
    """Cracks: dark inside, a thin bright rim where electrons escape through the side wall."""
    rim = 46.0 * np.exp(-np.maximum(edge_distance, 0.0) / 1.5) * (edge_distance < 9)
    inside = np.clip(34.0 + 22.0 * np.exp(np.minimum(edge_distance, 0.0) / 1.2), 0, 255)
    return np.where(cracked, inside, grey + np.where(cracked, 0.0, rim)).astype(np.float32)


def _microscope(rng: np.random.Generator, grey: Floats) -> NDArray[np.uint8]:
    """What the instrument adds: beam width, charging, scan-line jitter, shot noise, 8 bits."""
    from scipy.ndimage import gaussian_filter, gaussian_filter1d

    rows, cols = grey.shape
    seen = gaussian_filter(grey, 0.8)
    # Insulating layers charge: a slow gradient, and faint bright tails along the scan.
    seen = seen + 7.0 * smooth_noise(rng, grey.shape, min(rows, cols) / 3.0)
    seen += np.linspace(-6.0, 6.0, cols, dtype=np.float32)[None, :]
    dark = np.clip((70.0 - seen) / 70.0, 0.0, 1.0)
    seen += 9.0 * np.roll(gaussian_filter1d(dark, 14.0, axis=1), 12, axis=1)
    seen += rng.normal(0.0, 1.1, (rows, 1))
    # Shot noise grows with the root of the signal; about 400 electrons at full scale.
    noise = rng.standard_normal(grey.shape, dtype=np.float32)
    seen += noise * np.sqrt(np.maximum(seen, 4.0)) * 0.72 + 2.0 * rng.standard_normal(
        grey.shape, dtype=np.float32
    )
    return np.asarray(np.clip(np.rint(seen), 1, 254), dtype=np.uint8)
