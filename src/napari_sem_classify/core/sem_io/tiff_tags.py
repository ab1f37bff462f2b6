"""The metadata tags of a TIFF as plain values, each read alone so that a bad one hurts no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_sem_classify.core.sem_io.source import Source

OLYMPUS_SIS = 33560
WANTED = (
    *(270, 271, 272, 305, 306),  # ImageDescription, Make, Model, Software, DateTime
    *(282, 283, 296),  # XResolution, YResolution, ResolutionUnit
    *(34118, 50431, 51023, 65000),  # Zeiss, TESCAN, Fibics, Orion
    *(34680, 34682, 34683),  # FEI: SFEG, Helios, XML
    *(OLYMPUS_SIS, 33471),  # Olympus: SIS, INI
    *(65003, 65004, 65009, 65010),  # DigitalMicrograph
)
MAX_TAG_BYTES = 16 * 2**20


def read_source(path: Path, tiff: Any, shape: tuple[int, int], page: Any = None) -> Source:
    """Collect what vendors' modules may look at from an open `tifffile.TiffFile`.

    Of a file with a preview the image's own page counts: `page`, and after it the first one.
    """
    first = tiff.pages[0]
    tags: dict[int, Any] = {}
    for one in (first,) if page is None or page is first else (page, first):
        for code in WANTED:
            value = None if code in tags else _value(one, code)
            if value is not None:
                tags[code] = value
    return Source(
        path=path,
        shape=shape,
        tags=tags,
        imagej=_quietly(lambda: tiff.imagej_metadata if tiff.is_imagej else None),
        ome_xml=_quietly(lambda: tiff.ome_metadata if tiff.is_ome else None),
    )


def _value(page: Any, code: int) -> Any:
    def read() -> Any:
        tag = page.tags.get(code)
        if tag is None or tag.valuebytecount > MAX_TAG_BYTES:
            return None
        return tag.value

    return _quietly(read)


def _quietly(read: Any) -> Any:
    try:
        return read()
    except Exception:  # the parser raises anything on a damaged tag: then there is no such tag
        return None
