"""Shapes of the generated micrograph: wavy interfaces, grains, splats, pores and cracks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Rng = np.random.Generator


def smooth_noise(rng: Rng, shape: tuple[int, ...], length: float | tuple[float, float]) -> Floats:
    """Gaussian noise smoothed to a correlation length in pixels, mean 0, standard deviation 1."""
    from scipy.ndimage import gaussian_filter, zoom

    lengths = (length,) * len(shape) if isinstance(length, float) else length
    # Long correlations are made on a coarse lattice: the same look at a fraction of the cost.
    steps = [max(1, int(value // 6)) for value in lengths]
    coarse = tuple(-(-n // step) + 8 for n, step in zip(shape, steps, strict=True))
    noise = rng.standard_normal(coarse, dtype=np.float32)
    sigmas = [value / step for value, step in zip(lengths, steps, strict=True)]
    noise = gaussian_filter(noise, sigmas, mode="wrap")
    if max(steps) > 1:
        noise = zoom(noise, steps, order=1)
    noise = noise[tuple(slice(0, n) for n in shape)]
    return np.asarray((noise - noise.mean()) / (float(noise.std()) or 1.0), dtype=np.float32)


def interface(rng: Rng, length: int, amplitude: float, detail: int = 6) -> Floats:
    """A wavy line, a height per column: octaves of smooth noise of spread `amplitude` (1 σ)."""
    line = np.zeros(length, dtype=np.float32)
    for octave in range(detail):
        wave = max(2.0, length / (7.0 * 2.0**octave))
        line += smooth_noise(rng, (length,), wave) * np.float32(0.55**octave)
    line -= line.mean()
    return (line * np.float32(amplitude) / np.float32(line.std() or 1.0)).astype(np.float32)


def grains(
    rng: Rng, shape: tuple[int, int], size: float, stretch: float = 1.0
) -> tuple[NDArray[np.int32], Floats]:
    """Voronoi grains with slightly curved boundaries.

    Parameters
    ----------
    size : float
        Mean grain diameter across columns, in pixels.
    stretch : float
        Height of a grain over its width.

    Returns
    -------
    label : int32, shape `shape`
        Grain number of each pixel, from 0.
    distance : float32, shape `shape`
        Distance to the nearest grain boundary in pixels.
    """
    from scipy.ndimage import distance_transform_edt, map_coordinates

    rows, cols = shape
    count = max(4, int(rows * cols / (size * size * stretch)))
    seeds = np.ones(shape, dtype=bool)
    at = rng.integers(0, rows, count), rng.integers(0, cols, count)
    seeds[at] = False
    number = np.zeros(shape, dtype=np.int32)
    number[at] = np.arange(count)
    near = distance_transform_edt(
        seeds, sampling=(1.0, stretch), return_distances=False, return_indices=True
    )
    label = number[near[0], near[1]]
    bend = 0.10 * size
    y, x = np.indices(shape, dtype=np.float32)
    y += bend * smooth_noise(rng, shape, 0.30 * size)
    x += bend * smooth_noise(rng, shape, 0.30 * size)
    label = map_coordinates(label, [y, x], order=0, mode="nearest").astype(np.int32)
    boundary = np.zeros(shape, dtype=bool)
    boundary[1:] |= label[1:] != label[:-1]
    boundary[:, 1:] |= label[:, 1:] != label[:, :-1]
    return label, distance_transform_edt(~boundary).astype(np.float32)


def lamellae(rng: Rng, shape: tuple[int, int]) -> Floats:
    """Flattened splats of a sprayed coating: brightness differences around 0, in grey levels."""
    label, boundary = grains(rng, shape, size=95.0, stretch=0.24)
    count = int(label.max()) + 1
    grey = rng.normal(0.0, 8.0, count).astype(np.float32)[label]
    grey -= 9.0 * np.exp(-(boundary**2) / 1.3)
    grey += 4.0 * smooth_noise(rng, shape, (3.0, 11.0))
    return grey.astype(np.float32)


def pores(rng: Rng, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """Flat pores between splats and round ones within them.

    Returns
    -------
    outside : float32
        Distance to the nearest pore in pixels, 0 inside.
    inside : float32
        Distance to the pore's rim in pixels, 0 outside.
    """
    from scipy.ndimage import distance_transform_edt

    where = smooth_noise(rng, shape, 70.0)  # pores come in clusters
    flat = smooth_noise(rng, shape, (3.2, 13.0)) + 0.35 * where > 2.15
    round_ = smooth_noise(rng, shape, 6.5) + 0.3 * where > 2.2
    hole = flat | round_
    return (
        distance_transform_edt(~hole).astype(np.float32),
        distance_transform_edt(hole).astype(np.float32),
    )


def crack_field(rng: Rng, truth: NDArray[np.uint8], depth: Floats) -> tuple[Bools, Floats]:
    """Branching cracks from the surface downward, and some along the oxide.

    Parameters
    ----------
    truth : uint8
        Class of each pixel.
    depth : float32
        Depth below the oxide's upper face in pixels, negative in the coating.

    Returns
    -------
    cracked : bool
        Pixels inside a crack.
    distance : float32
        Distance to the crack's wall in pixels, negative inside.
    """
    from scipy.ndimage import distance_transform_edt

    rows, cols = truth.shape
    unit = rows / 1408.0
    width = np.zeros(truth.shape, dtype=np.float32)
    n_down = max(2, round(cols / 500.0))
    lanes = (np.arange(n_down) + rng.uniform(0.05, 0.95, n_down)) * cols / n_down
    for x in lanes:
        reach = rows * rng.uniform(0.34, 0.80)
        _walk(rng, width, (0.0, float(x)), np.pi / 2, reach, rng.uniform(4.0, 7.0), branches=2)
    for _ in range(max(1, round(cols / 900.0))):
        x = int(rng.integers(0, max(1, cols - 1)))
        face = int(np.argmin(np.abs(depth[:, x] - rng.uniform(6, 60) * unit)))
        heading = rng.choice([0.0, np.pi])
        start, reach = (float(face), float(x)), cols * rng.uniform(0.15, 0.3)
        _walk(rng, width, start, float(heading), reach, rng.uniform(3.5, 6.0), 1, depth)
    path = width > 0
    far, near = distance_transform_edt(~path, return_indices=True)
    local = width[near[0], near[1]] / 2.0
    ragged = 0.5 * smooth_noise(rng, truth.shape, 2.5)
    distance = (far - local + ragged * (far < 8)).astype(np.float32)
    return distance <= 0, distance


def _walk(
    rng: Rng,
    width: Floats,
    start: tuple[float, float],
    heading: float,
    length: float,
    opening: float,
    branches: int,
    follow: Floats | None = None,
) -> None:
    """Walk a crack into `width` (its opening in pixels along its path), with branches.

    The heading (0 along a row, π/2 downward) wanders but is drawn back to where it began; with
    `follow`, the crack keeps to the level of that field on which it started.
    """
    y, x = start
    rows, cols = width.shape
    level = None if follow is None else float(follow[int(y), int(x)])
    aim, turn = heading, 0.0
    steps = int(length)
    forks = {int(n) for n in rng.uniform(0.15, 0.75, branches) * steps}
    for step in range(steps):
        row, col = int(y), int(x)
        if not (0 <= row < rows and 0 <= col < cols):
            return
        left = 1.0 - step / steps
        width[row, col] = max(width[row, col], max(2.4, opening * left**0.6))
        if step in forks and opening > 2.0:
            side = rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 0.9)
            _walk(rng, width, (y, x), heading + side, length * 0.3, opening * 0.6, branches - 1)
        turn += rng.normal(0.0, 0.05) - 0.06 * turn
        if rng.random() < 0.02:
            turn += rng.normal(0.0, 0.5)  # the kink where a crack meets a grain
        goal = aim
        if follow is not None and level is not None:
            goal = aim + np.clip((level - follow[row, col]) / 30.0, -1.0, 1.0) * np.cos(aim)
        heading += 0.08 * (goal - heading) + 0.12 * turn
        y += float(np.sin(heading))
        x += float(np.cos(heading))
