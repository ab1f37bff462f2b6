"""Random changes of a tile that do not change its class: what they are, in which ranges.

They are what a microscope does from one session to the next. Each is off at 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from napari_sem_classify.core.common.errors import DatasetError


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far tiles are changed at random; without arguments not at all.

    Attributes
    ----------
    flips : bool
        Left to right and upside down.
    quarter_turns : bool
        By 90°, 180°, 270°: for specimens without an up.
    rotation_deg : float
        Up to so many degrees either way.
    crop : float
        Share of the side that a random crop leaves out at most. A crop is not resized: the texture
        keeps the scale at which the model will see it.
    magnification : float
        Up to ``1 + magnification`` times larger or smaller, reflected at the border.
    gain : float
        Contrast up to ``1 + gain`` times larger or smaller.
    offset : float
        Brightness plus or minus up to so much of the grey range.
    gamma : float
        Grey values to the power of ``1 + gamma`` at most, or of its inverse.
    defocus_px : float
        Standard deviation of the blur (Gaussian), up to so many pixels of the tile as it is kept
        for training, which are those of the image unless that is larger than the network's input.
    shot_noise : float
        Standard deviation of the noise of a white pixel, up to so much of the grey range; a pixel's
        own grows with the root of its grey value, as that of counted electrons does.
    line_noise : float
        Standard deviation of the brightness from one scanned line to the next, up to so much of the
        grey range.
    charging : float
        Brightness rises across the tile, in any direction, by up to so much of the grey range.
    """

    flips: bool = False
    quarter_turns: bool = False
    rotation_deg: float = 0.0
    crop: float = 0.0
    magnification: float = 0.0
    gain: float = 0.0
    offset: float = 0.0
    gamma: float = 0.0
    defocus_px: float = 0.0
    shot_noise: float = 0.0
    line_noise: float = 0.0
    charging: float = 0.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of change, for forms and the command line.

    Attributes
    ----------
    name : str
        Of the attribute of `Augmentation`.
    title : str
        For the user.
    unit : str
        Of the number; "" for a share of 1, "yes or no" where it is only on or off.
    largest : float
    usual : float
        What a switch turns on.
    """

    name: str
    title: str
    unit: str
    largest: float
    usual: float


SWITCH = "yes or no"

KINDS = tuple(
    Kind(*row)
    for row in (
        ("flips", "Flips", SWITCH, 1, 1),
        ("quarter_turns", "Quarter turns", SWITCH, 1, 1),
        ("rotation_deg", "Rotation, up to", "°", 180, 10),
        ("crop", "Random crops, without up to", "of the side", 0.5, 0.25),
        ("magnification", "Magnification, up to ±", "", 0.3, 0.1),
        ("gain", "Contrast, up to ±", "", 1, 0.2),
        ("offset", "Brightness, up to ±", "of the grey range", 0.5, 0.1),
        ("gamma", "Gamma, up to ±", "", 2, 0.4),
        ("defocus_px", "Focus: blur, up to", "px", 5, 1),
        ("shot_noise", "Shot noise, up to", "of the grey range", 0.5, 0.1),
        ("line_noise", "Scan-line noise, up to", "of the grey range", 0.2, 0.03),
        ("charging", "Charging: a ramp of up to", "of the grey range", 0.5, 0.15),
    )
)
"""Every kind, in the order in which a form shows them."""


def changed(base: Augmentation, wanted: Mapping[str, float]) -> Augmentation:
    """Give an augmentation with other numbers of some kinds.

    Parameters
    ----------
    wanted : mapping of str to float
        By the names of `KINDS`; 0 turns a kind off.

    Raises
    ------
    DatasetError
        When there is no such kind, or a number is out of its range.
    """
    known = {kind.name: kind for kind in KINDS}
    values: dict[str, float] = {}
    for name, value in wanted.items():
        if name not in known:
            raise DatasetError(
                f"There is no augmentation {name!r}: choose among {', '.join(known)}."
            )
        kind = known[name]
        if not 0 <= value <= kind.largest:
            raise DatasetError(f"{name} has to be 0 to {kind.largest:g}, not {value:g}.")
        values[name] = bool(value) if kind.unit == SWITCH else float(value)
    return replace(base, **values)  # type: ignore[arg-type]


def only(augmentation: Augmentation, name: str) -> Augmentation:
    """Give this kind of change alone, to look at it."""
    return Augmentation(**{name: getattr(augmentation, name)})


def kinds_in(augmentation: Augmentation) -> list[str]:
    """Names of the kinds that are on."""
    return [each.name for each in fields(augmentation) if getattr(augmentation, each.name)]
