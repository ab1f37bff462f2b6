"""Zarr (v2 and v3) and OME-Zarr (0.4 and 0.5), read chunk by chunk.

The metadata follows https://ngff.openmicroscopy.org/0.4 and /0.5: ``multiscales`` with ``axes`` and
one ``coordinateTransformations`` scale a level; 0.5 puts it under the key ``ome``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.sem_io.pixels import Level, Pixels, first_line
from napari_sem_classify.core.sem_io.source import Source
from napari_sem_classify.core.sem_io.vendors.values import length_nm, number, pixel_size
from napari_sem_classify.core.sem_io.zarr_guard import guard_array, open_guarded

MOST_LEVELS = 64
MARKERS = (".zarray", ".zgroup", "zarr.json")


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr array or group."""
    return path.is_dir() and any((path / marker).is_file() for marker in MARKERS)


def open_zarr(path: Path, level: int = 0) -> Pixels:
    """Open a zarr array, or one level (0 the finest) of an OME-Zarr image, its pixels unread.

    Raises
    ------
    ImageError
        When it is damaged, holds no image, or several that cannot be told apart.
    """
    import zarr

    try:
        node = open_guarded(path)
        if isinstance(node, zarr.Array):
            return _plain_array(path, node, level)
        return _group(path, node, level)
    except ImageError:
        raise
    except Exception as error:  # zarr raises what its codecs, JSON and the file system raise
        # A TypeError speaks of zarr's own functions, which says nothing to who has the folder.
        why = "its description is no zarr's" if isinstance(error, TypeError) else first_line(error)
        raise ImageError(
            f"{path} cannot be read as zarr ({why}): the folder is damaged or "
            "incomplete; copy it again."
        ) from error


def _plain_array(path: Path, array: Any, level: int) -> Pixels:
    if level != 0:
        raise ImageError(f"{path} is a single array: it has no resolution level {level}.")
    shape = array.shape
    channels = len(shape) >= 3 and shape[-1] in (3, 4) and min(shape[-3:-1]) > 4
    return _pixels(path, array, has_channels=channels)


def _group(path: Path, group: Any, level: int) -> Pixels:
    multiscale = _multiscale(group)
    if multiscale is None and "0" in group and _multiscale(group["0"]) is not None:
        group = group["0"]  # bioformats2raw puts each image into a numbered group
        multiscale = _multiscale(group)
    if multiscale is None:
        arrays = [name for name, _ in group.arrays()]
        if len(arrays) != 1:
            raise ImageError(
                f"{path} is a zarr group with {len(arrays)} arrays and no OME-Zarr description: "
                "choose the folder of one array."
            )
        return _plain_array(path, group[arrays[0]], level)
    datasets = multiscale["datasets"]
    if len(datasets) > MOST_LEVELS:
        raise ImageError(
            f"{path} names {len(datasets):,} resolution levels, which no image has: the folder is "
            "damaged; copy it again."
        )
    if not 0 <= level < len(datasets):
        raise ImageError(f"{path} has {len(datasets)} resolution levels, so level {level} is none.")
    axes = [_axis(axis) for axis in multiscale.get("axes", [])]
    arrays_of = [group[str(dataset["path"])] for dataset in datasets]
    if axes and [name for name, _ in axes][-2:] != ["y", "x"]:
        names = "".join(name for name, _ in axes)
        raise ImageError(f"{path} has axes {names}, not rows and columns last: save it as zyx.")
    sizes = [_pixel_size(multiscale, dataset, axes) for dataset in datasets]
    finest_rows = int(arrays_of[0].shape[-2])
    levels = tuple(
        Level(
            (int(one.shape[-2]), int(one.shape[-1])), size, finest_rows / max(1, int(one.shape[-2]))
        )
        for one, (size, _) in zip(arrays_of, sizes, strict=True)
    )
    size, note = sizes[level]
    return _pixels(
        path,
        arrays_of[level],
        has_channels=False,
        levels=levels,
        pixel_size_nm=size,
        pixel_size_source="OME-Zarr metadata" if size else "",
        plain=({"note": note} if note else {}) | _plane_spacing(multiscale, datasets[level], axes),
    )


def _multiscale(group: Any) -> Mapping[str, Any] | None:
    attributes = getattr(group, "attrs", {})
    for holder in (attributes.get("ome"), attributes):
        found = holder.get("multiscales") if holder is not None else None
        if isinstance(found, list) and found and found[0].get("datasets"):
            first: Mapping[str, Any] = found[0]
            return first
    return None


def _axis(axis: Any) -> tuple[str, str | None]:
    if isinstance(axis, str):  # OME-Zarr 0.3
        return axis, None
    return str(axis.get("name")), axis.get("unit")


def _pixel_size(
    multiscale: Mapping[str, Any], dataset: Mapping[str, Any], axes: list[tuple[str, str | None]]
) -> tuple[float | None, str]:
    steps = _steps(multiscale, dataset, 2)
    if len(axes) < 2 or axes[-1][1] is None:
        return None, ""
    y_nm, x_nm = (length_nm(step, axis[1]) for step, axis in zip(steps, axes[-2:], strict=True))
    return pixel_size(x_nm, y_nm)


def _plane_spacing(
    multiscale: Mapping[str, Any], dataset: Mapping[str, Any], axes: list[tuple[str, str | None]]
) -> dict[str, float]:
    """How far apart the planes of a stack are, in nm, where that is told."""
    if len(axes) < 3 or axes[-3][0] != "z":
        return {}
    apart = length_nm(_steps(multiscale, dataset, 3)[0], axes[-3][1])
    return {"plane_spacing_nm": apart} if apart is not None and apart > 0 else {}


def _steps(multiscale: Mapping[str, Any], dataset: Mapping[str, Any], n: int) -> list[float]:
    """Scales along the last `n` axes; NaN where one is no number."""
    steps = [1.0] * n
    for owner in (dataset, multiscale):
        for transform in owner.get("coordinateTransformations") or ():
            if transform.get("type") == "scale" and len(transform.get("scale", ())) >= n:
                factors = [number(value) for value in transform["scale"][-n:]]
                steps = [
                    s * (f if f is not None else float("nan"))
                    for s, f in zip(steps, factors, strict=True)
                ]
    return steps


def _pixels(path: Path, array: Any, *, has_channels: bool, **more: Any) -> Pixels:
    spatial = slice(-3, -1) if has_channels else slice(-2, None)
    rows_cols = tuple(int(n) for n in array.shape[spatial])
    guard_array(path, array, n_spatial=2 + has_channels)
    rows, cols = array.chunks[spatial] if len(rows_cols) == 2 else (0, 0)
    return Pixels(
        data=array,
        has_channels=has_channels,
        source=Source(path=path, shape=rows_cols if len(rows_cols) == 2 else (0, 0)),
        chunks=(int(rows), int(cols)) if len(rows_cols) == 2 else None,
        **more,
    )
