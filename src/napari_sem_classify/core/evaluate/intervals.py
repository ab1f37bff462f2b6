"""Confidence intervals of shares that stay honest with few cases and without any error.

The normal interval of a share has no width where no error was seen. Jeffreys' interval has, and
"MOVER" (method of variance estimates recovery) carries such intervals over to weighted sums and to
ratios. In ``benchmarks/area_fraction_simulation.py`` Jeffreys' limits are narrower than Wilson's
and cover rare classes better. No library at hand has MOVER: that is why these are ours.

References
----------
Wilson, J. Am. Stat. Assoc. 22 (1927) 209 (the scores of models have his intervals). Brown, Cai &
DasGupta, Stat. Sci. 16 (2001) 101 (Jeffreys and other intervals of a share). Zou, Huang & Zhang,
Comput. Stat. Data Anal. 53 (2009) 1080 (sums). Newcombe, Stat. Methods Med. Res. 25 (2016) 1774
(ratios).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Interval = tuple[float, float]


def z_of(level: float) -> float:
    """Two-sided quantile of the normal distribution: 1.96 for a `level` of .95."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(0.5 + level / 2.0)


def wilson_interval(successes: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a proportion (Wilson 1927), 0 to 1; NaN without cases."""
    if total == 0:
        return float("nan"), float("nan")
    z, share = z_of(level), successes / total
    centre = share + z**2 / (2 * total)
    half = z * np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    scale = 1 + z**2 / total
    return max(0.0, float((centre - half) / scale)), min(1.0, float((centre + half) / scale))


def jeffreys(share: Floats, n: Floats, level: float = 0.95) -> tuple[Floats, Floats]:
    """Jeffreys interval of shares, element by element: quantiles of Beta(x + ½, n - x + ½).

    The lower limit is 0 where nothing was found, the upper one 1 where nothing else was found
    (Brown, Cai & DasGupta 2001, section 3.1.2).

    Parameters
    ----------
    share : float64
        Observed shares x / n, 0 to 1.
    n : float64, broadcastable to `share`
        Cases behind each; an effective number need not be whole. 0 gives 0 to 1, infinity gives no
        width.

    Returns
    -------
    low, high : float64, shape of `share`
    """
    from scipy.special import betaincinv

    share, n = np.broadcast_arrays(np.asarray(share, np.float64), np.asarray(n, np.float64))
    sure, none = np.isinf(n), n <= 0
    cases = np.where(sure | none, 1.0, n)
    found, other = share * cases, (1 - share) * cases
    tail = (1.0 - level) / 2.0
    low = np.where(found < 1e-9, 0.0, betaincinv(found + 0.5, other + 0.5, tail))
    high = np.where(other < 1e-9, 1.0, betaincinv(found + 0.5, other + 0.5, 1.0 - tail))
    low = np.where(none, 0.0, np.where(sure, share, low))
    high = np.where(none, 1.0, np.where(sure, share, high))
    return low, high


def weighted_sum(
    weights: Floats, share: Floats, low: Floats, high: Floats
) -> tuple[Floats, Floats]:
    """Interval of Σ weight × share over the first axis, from the interval of each share.

    Zou, Huang & Zhang (2009), equation 3, for weights of zero or more.

    Parameters
    ----------
    weights : float64, shape (strata,)
    share, low, high : float64, shape (strata, classes)

    Returns
    -------
    low, high : float64, shape (classes,)
    """
    total = weights @ share
    squared = weights**2
    down = np.sqrt(squared @ (share - low) ** 2)
    up = np.sqrt(squared @ (high - share) ** 2)
    return np.clip(total - down, 0.0, 1.0), np.clip(total + up, 0.0, 1.0)


def part_of_whole(
    part: float, part_limits: Interval, rest: float, rest_limits: Interval
) -> Interval:
    """Interval of part / (part + rest) from independent intervals of part and rest.

    The limits are the values t for which (1 - t) part - t rest has 0 on the border of its MOVER
    interval (Newcombe 2016).

    Returns
    -------
    low, high : float
        0 and 1 where nothing was seen of either.
    """
    if part + rest <= 0:
        return 0.0, 1.0
    ratio = part / (part + rest)

    def border(t: float, part_step: float, rest_step: float, sign: float) -> float:
        middle = (1 - t) * part - t * rest
        return middle + sign * float(np.hypot((1 - t) * part_step, t * rest_step))

    low = _root(lambda t: border(t, part - part_limits[0], rest_limits[1] - rest, -1.0), 0.0, ratio)
    high = _root(lambda t: border(t, part_limits[1] - part, rest - rest_limits[0], 1.0), ratio, 1.0)
    return low, high


def _root(function: Callable[[float], float], left: float, right: float) -> float:
    """Place where a falling function crosses zero between `left` and `right`, by bisection."""
    for _ in range(60):
        middle = (left + right) / 2
        if function(middle) > 0:
            left = middle
        else:
            right = middle
    return (left + right) / 2
