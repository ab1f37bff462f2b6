"""Options that several commands share, each worded once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.export.kinds import ending

if TYPE_CHECKING:
    from napari_sem_classify.core.image.intensity import IntensityRecipe

DEFAULT_TILE_PX = 64

Json = Annotated[bool, typer.Option("--json", help="Report as JSON.")]
Images = Annotated[
    list[str], typer.Argument(metavar="IMAGE...", help="Image files, folders of them, or patterns.")
]
TilePx = Annotated[
    int | None, typer.Option("--tile", metavar="PX", help="Side of a tile in pixels.")
]
TileUm = Annotated[
    float | None,
    typer.Option("--tile-um", metavar="UM", help="Side of a tile in µm, for calibrated images."),
]
Stride = Annotated[
    int | None,
    typer.Option(
        "--stride", metavar="PX", help="Distance between neighbouring tiles; below --tile: overlap."
    ),
]
Level = Annotated[
    int,
    typer.Option(
        "--level", min=0, help="Resolution of a pyramid, 0 the finest; `info` lists them."
    ),
]
FramePx = Annotated[
    str | None,
    typer.Option(
        "--frame-px",
        metavar="RxC",
        help="Rows and columns of a mosaic's frames (768x1024); found in the picture without it.",
    ),
]
Over = Annotated[
    Literal["image", "frames", "local"],
    typer.Option(
        "--recipe",
        help="Stretch grey values over the whole image, over each frame of a mosaic whose frames "
        "differ in exposure, or locally.",
    ),
]
Device = Annotated[
    str, typer.Option("--device", metavar="D", help="auto, cpu, cuda, cuda:1 or mps.")
]
Network = Annotated[
    str,
    typer.Option("--network", metavar="ID", help="The network to stand on; `models list` tells."),
]
Backend = Annotated[str, typer.Option("--backend", help="auto, torch or openvino.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write into.")]


def check_tile(tile: int | None, tile_um: float | None, stride: int | None) -> None:
    """Refuse tile options that contradict each other or can fit no image, as wrong usage."""
    if tile is not None and tile_um is not None:
        raise typer.BadParameter("give the tile in pixels or in µm, not both", param_hint="--tile")
    if tile is not None and tile < 1:
        raise typer.BadParameter(f"{tile} px is no tile size", param_hint="--tile")
    if tile_um is not None and not 0 < tile_um < 1e9:
        raise typer.BadParameter(f"{tile_um:g} µm is no tile size", param_hint="--tile-um")
    if stride is not None and stride < 1:
        raise typer.BadParameter(f"{stride} px is no stride", param_hint="--stride")


def recipe_of(over: str, frame_px: str | None) -> IntensityRecipe:
    """How grey values are stretched; a frame's size that is none is refused as wrong usage."""
    from napari_sem_classify.core.image.intensity import FRAME_PX, OVER, IntensityRecipe

    if over != "frames" and frame_px is not None:
        raise typer.BadParameter("frames need --recipe frames", param_hint="--frame-px")
    if frame_px is None:
        known = [each for each in OVER if each == over]
        return IntensityRecipe(per_tile=over == "tile", over=known[0] if known else "image")
    low, high = FRAME_PX
    size = [int(part) for part in frame_px.lower().split("x") if part.isdecimal()]
    if len(size) != 2 or not all(low <= side <= high for side in size):
        problem = f"give rows and columns of {low} px or more, as 768x1024"
        raise typer.BadParameter(problem, param_hint="--frame-px")
    return IntensityRecipe(over="frames", frame_px=(size[0], size[1]))


def kinds_of(text: str, option: str, choices: tuple[str, ...]) -> list[str]:
    """Names of kinds of files, comma-separated in `text`, refused as wrong usage where one is none.

    They are as the user wrote them: names of earlier versions (csv, tif, html) are good too.
    """
    endings = {ending(name) for name in choices}
    wanted: dict[str, str] = {}
    for name in filter(None, map(str.strip, text.split(","))):
        try:
            suffix = ending(name)
        except OutputError:
            suffix = ""
        if suffix not in endings:
            raise typer.BadParameter(
                f"{name!r} is none: choose from {', '.join(choices)}", param_hint=option
            )
        wanted.setdefault(suffix, name)
    return list(wanted.values())
