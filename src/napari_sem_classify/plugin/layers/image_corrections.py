"""What the user corrects about an image: specimen area, pixel size, the level that is read.

A correction is noted in the image layer, so that it is saved with it, and what was found first is
noted beside it, so that it can be had back. Results stay where they are on the image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from psygnal import Signal

from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.levels import level_factors, specimen_at_level
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.plugin.app.session import helper_of, session_of, unwrapped
from napari_sem_classify.plugin.layers.file_behind import LOOKED
from napari_sem_classify.plugin.layers.file_layers import placed
from napari_sem_classify.plugin.layers.layer_image import (
    METADATA_KEY,
    image_from_layer,
    layer_metadata,
    noted_level,
    noted_specimen,
    notes_of,
    pixel_sides,
    pixel_size_nm,
    size_source,
    spatial_shape,
)
from napari_sem_classify.plugin.layers.made_layers import AREA, made_from, remove_layer
from napari_sem_classify.plugin.layers.placement import followers, in_place, keep_view

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

FOUND = "found"
BY_YOU = "set by you"
NOT_CALIBRATED = "not calibrated"
MOST_UNDOS = 50


@dataclass(frozen=True, slots=True)
class _State:
    """A layer's scale and notes at one time; `group` is shared by what was changed together."""

    scale: tuple[float, ...]
    units: tuple[str, ...]
    notes: dict[str, Any]
    group: int = 0


class Corrections:
    """Corrects the images of one viewer.

    Attributes
    ----------
    changed : signal
        Tells the image layer that was corrected.
    busy : bool
        Whether a layer is being changed from here: its events tell nothing new then.
    """

    changed = Signal(object)

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._session = session_of(viewer)
        self._undo: WeakKeyDictionary[Any, list[_State]] = WeakKeyDictionary()
        self._groups = 0
        self.busy = False

    def note(self, layer: Image, image: SemImage) -> None:
        """Note what was found about an image, where nothing usable is noted yet."""
        if noted_specimen(notes_of(layer), spatial_shape(layer)) is None:
            finest = image if image.level == 0 else image_from_layer(layer, 0)
            kept = {k: v for k, v in notes_of(layer).items() if k.startswith("level")}
            self._write(layer, {**layer_metadata(finest)[METADATA_KEY], **kept})

    def take_file(self, layer: Image, told: SemImage) -> bool:
        """Take pixel size and info bar from the file of a layer; the user can take that back.

        A layer that has a scale of its own keeps it. False where another dock did so already.
        """
        if LOOKED in notes_of(layer) or "specimen" in notes_of(layer):
            return False
        self._write(layer, {**notes_of(layer), LOOKED: True})
        before = _state_of(layer)
        level = {k: v for k, v in notes_of(layer).items() if k.startswith("level")}
        notes = {**layer_metadata(told)[METADATA_KEY], LOOKED: True, **level}

        def take() -> None:
            size = told.pixel_size_nm
            if size is None or not _is_bare(layer):
                self._write(layer, {**notes, **_pick(notes_of(layer), "pixel_size_")})
                return
            scale, units = placed(told, size)
            if len(scale) == layer.ndim:
                self._place(layer, _State(scale, units, notes))
            else:
                self._write(layer, notes)
                self._calibrate(layer, size, told.pixel_size_source)

        self._apply(layer, take)
        if told.pixel_size_nm is not None or told.specimen.source == "metadata":
            self._undo.setdefault(layer, []).append(before)
        self.changed.emit(layer)
        return True

    def from_file(self, layer: Image) -> bool:
        """Whether scale and bar were taken from the layer's file, and stand so."""
        states = self._undo.get(layer) or []
        return len(states) == 1 and LOOKED in states[0].notes and "specimen" not in states[0].notes

    def specimen(self, layer: Image) -> Specimen:
        """The specimen area in pixels of the finest level."""
        known = noted_specimen(notes_of(layer), spatial_shape(layer))
        return image_from_layer(layer, 0).specimen if known is None else known

    def forget_found(self, layer: Image) -> None:
        """Let go of an area that was found in pixels which the layer no longer holds."""
        notes = dict(notes_of(layer))
        if notes.get("specimen_source") != "user" and "specimen" in notes:
            self._undo.pop(layer, None)
            for key in ("specimen", FOUND):
                notes.pop(key, None)
            self._write(layer, notes)

    def set_area(self, layer: Image, area: Area) -> None:
        """Set the specimen area, in pixels of the finest level."""
        if area != self.specimen(layer).area:
            rows, cols = spatial_shape(layer)
            reason = margins_text(area, rows, cols)
            self._change(layer, lambda: self._note_area(layer, Specimen(area, "user", reason)))

    def reset_area(self, layer: Image) -> None:
        """Have back the area that was found in the file or in the pixels."""
        found = notes_of(layer).get(FOUND)
        if isinstance(found, dict):
            area = noted_specimen({**notes_of(layer), **found}, spatial_shape(layer))
            if area is not None:
                self._change(layer, lambda: self._note_area(layer, area))

    def set_pixel_size(self, layer: Image, size_nm: float, source: str = BY_YOU) -> None:
        """Set the side of the finest pixels in nm."""
        self._change(layer, lambda: self._calibrate(layer, size_nm, source))

    def set_pixel_size_of(self, layers: Sequence[Image], size_nm: float, source: str) -> None:
        """Set the pixel size of several images; one `undo` takes it back for all of them."""
        self._groups += 1
        for layer in layers:
            self.set_pixel_size(layer, size_nm, source)
            states = self._undo[layer]
            states[-1] = replace(states[-1], group=self._groups)

    def reset_pixel_size(self, layer: Image) -> None:
        """Have back the pixel size of the file, or none where it has none."""
        found = notes_of(layer).get(FOUND)
        if isinstance(found, dict) and "scale" in found:
            notes = {**notes_of(layer), **_pick(found, "pixel_size_")}
            state = _State(tuple(found["scale"]), tuple(found["units"]), notes)
            self._change(layer, lambda: self._place(layer, state))

    def set_level(self, layer: Image, level: int, **noted: bool) -> None:
        """Read another level of a multiscale layer from now on.

        Tiles laid by hand go: they are in pixels of the level before. `noted` is kept with it.
        """
        if level == noted_level(layer):
            return
        self._session.images.pop(layer, None)
        self._write(layer, {**notes_of(layer), "level": level, **noted})
        for area in made_from(self._viewer, layer, AREA):
            remove_layer(self._viewer, area)
        if self._session.plans.pop(layer, None) is not None:
            self._session.plan_changed.emit(layer)
        self.changed.emit(layer)

    def can_undo(self, layer: Image) -> bool:
        """Whether there is a correction to take back."""
        return bool(self._undo.get(layer))

    def undo(self, layer: Image) -> None:
        """Take back the last correction of area or pixel size, with what was changed together."""
        states = self._undo.get(layer)
        if not states:
            return
        group = states[-1].group
        together = [
            other
            for other, theirs in self._undo.items()
            if group and other is not layer and theirs and theirs[-1].group == group
        ]
        for each in [layer, *together]:
            self._take_back(each)

    def _take_back(self, layer: Image) -> None:
        state = self._undo[layer].pop()
        level = noted_level(layer)
        self._apply(layer, lambda: self._place(layer, state))
        self._write(layer, {**notes_of(layer), "level": level})
        self.changed.emit(layer)

    def is_corrected(self, layer: Image) -> bool:
        """Whether the user changed the pixel size or the area that were found."""
        return not (self.size_is_found(layer) and self.area_is_found(layer))

    def area_is_found(self, layer: Image) -> bool:
        """Whether the area is the one that was found."""
        notes = notes_of(layer)
        found = notes.get(FOUND)
        return not isinstance(found, dict) or found.get("specimen") == notes.get("specimen")

    def size_is_found(self, layer: Image) -> bool:
        """Whether the pixel size is the file's own."""
        found = notes_of(layer).get(FOUND)
        return not isinstance(found, dict) or (
            tuple(found.get("scale", ())) == tuple(float(n) for n in layer.scale)
            and tuple(found.get("units", ())) == tuple(str(unit) for unit in layer.units)
        )

    # ------------------------------------------------------------------ doing it

    def _change(self, layer: Image, change: Callable[[], None]) -> None:
        self._remember_found(layer)
        before = _state_of(layer)
        self._apply(layer, change)
        states = self._undo.setdefault(layer, [])
        states.append(before)
        del states[:-MOST_UNDOS]
        self.changed.emit(layer)

    def _apply(self, layer: Image, change: Callable[[], None]) -> None:
        self.busy = True
        try:
            change()
        finally:
            self.busy = False
        # The file is not looked at again: only scale and area differ.
        known = self._session.images.get(layer)
        if known is not None and known.level == noted_level(layer):
            self._session.images[layer] = _with_notes(layer, known)
            self._tell_maps(layer)

    def _remember_found(self, layer: Image) -> None:
        notes = notes_of(layer)
        if not isinstance(notes.get(FOUND), dict):
            state = _state_of(layer)
            found = {
                "scale": list(state.scale),
                "units": list(state.units),
                **_pick(notes, "specimen"),
                **_pick(notes, "pixel_size_"),
            }
            self._write(layer, {**notes, FOUND: found})

    def _note_area(self, layer: Image, specimen: Specimen) -> None:
        noted = {
            "shape": list(spatial_shape(layer)),
            "specimen": specimen.area.as_list(),
            "specimen_source": specimen.source,
            "specimen_reason": specimen.reason,
        }
        self._write(layer, {**notes_of(layer), **noted})

    def _calibrate(self, layer: Image, size_nm: float, source: str) -> None:
        units = [str(unit) for unit in layer.units]
        lengths = all(unit.dimensionality == {"[length]": 1} for unit in layer.units[-2:])
        if not lengths:
            units[-2:] = ["nm", "nm"]
        scale = [float(n) for n in layer.scale]
        nm = [float((1 * unit).to("nm").magnitude) for unit in layer.units[-2:]] if lengths else 1.0
        # What the layer's affine, rotation and shear do to a step of its scale stays.
        sides = pixel_sides(layer, np.concatenate([np.ones(layer.ndim - 2), np.ones(2) * nm]))
        for axis in (-2, -1):
            if sides is not None:
                step = scale[axis] * size_nm / (sides.rows, sides.cols)[axis]
                scale[axis] = float(f"{step:.15g}")
        notes = {**notes_of(layer), "pixel_size_nm": size_nm, "pixel_size_source": source}
        self._place(layer, _State(tuple(scale), tuple(units), notes))

    def _place(self, layer: Image, state: _State) -> None:
        """Give a layer another scale, and let all that lies on it follow."""
        if (state.scale, state.units) != (_state_of(layer).scale, _state_of(layer).units):
            following = followers(self._viewer, layer)
            with keep_view(self._viewer, layer), in_place(layer, following):
                layer.units = state.units
                layer.scale = state.scale
        self._write(layer, state.notes)

    def _write(self, layer: Image, notes: dict[str, Any]) -> None:
        layer.metadata = {**layer.metadata, METADATA_KEY: dict(notes)}

    def _tell_maps(self, layer: Image) -> None:
        """Areas of maps that are there are told in the new size."""
        size = pixel_size_nm(layer)
        cols = spatial_shape(layer)[1]
        for made, maps in self._session.maps.items():
            if self._session.source_of(made) is not layer:
                continue
            level = notes_of(made).get("level", 0)
            step = cols / spatial_shape(layer, level)[1] if level else 1.0
            mine = None if size is None else size * step
            for plane, class_map in maps.items():
                maps[plane] = replace(class_map, pixel_size_nm=mine)
            self._write(made, {**notes_of(made), "pixel_size_nm": mine})


def corrections_of(viewer: ViewerModel) -> Corrections:
    """The corrections of a viewer, made on first use."""
    return helper_of(viewer, Corrections, unwrapped(viewer))


def margins_text(area: Area, rows: int, cols: int) -> str:
    """What an area set by the user leaves out: "96 rows at the bottom, set by you"."""
    margins = [
        (area.top, "row", "at the top"),
        (rows - area.bottom, "row", "at the bottom"),
        (area.left, "column", "at the left"),
        (cols - area.right, "column", "at the right"),
    ]
    words = [f"{n} {what}{'s' * (n != 1)} {where}" for n, what, where in margins if n]
    return f"{' and '.join(words) or 'whole image'}, {BY_YOU}"


def _with_notes(layer: Image, image: SemImage) -> SemImage:
    """An image with the area and the pixel size that its layer has by now."""
    notes, full = notes_of(layer), spatial_shape(layer)
    specimen = noted_specimen(notes, full)
    here = image.specimen if specimen is None else specimen_at_level(specimen, full, image.shape)
    size = pixel_size_nm(layer)
    if size is not None:
        size *= level_factors(full, image.shape)[1]
    source = NOT_CALIBRATED if size is None else size_source(pixel_size_nm(layer), notes)
    microscope = notes.get("microscope")
    return replace(
        image,
        specimen=here,
        pixel_size_nm=size,
        pixel_size_source=source,
        vendor=str(notes.get("vendor") or image.vendor),
        metadata=microscope if isinstance(microscope, Mapping) else image.metadata,
    )


def _is_bare(layer: Image) -> bool:
    """Whether nobody gave a layer a scale: its pixels are 1 × 1, and no lengths."""
    sides = pixel_sides(layer, np.ones(layer.ndim))
    lengths = any(unit.dimensionality == {"[length]": 1} for unit in layer.units[-2:])
    return not lengths and sides is not None and sides.rows == sides.cols == 1.0


def _state_of(layer: Image) -> _State:
    return _State(
        tuple(float(n) for n in layer.scale),
        tuple(str(unit) for unit in layer.units),
        deepcopy(dict(notes_of(layer))),
    )


def _pick(notes: Any, prefix: str) -> dict[str, Any]:
    return {key: value for key, value in notes.items() if key.startswith(prefix)}
