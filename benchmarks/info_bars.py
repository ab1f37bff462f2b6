"""Hits and misses of the info-bar detection on real images.

    python benchmarks/info_bars.py [--data ../shared/data] [--out FILE.json]

For each folder of known images: how many keep their whole specimen and lose their whole bar, first
as the program opens them (metadata before pixels), then by the pixels alone. A *false crop* takes
specimen away. For files whose metadata tell the bar, the two answers are compared row by row.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.sem_io import open_image
from napari_sem_classify.core.sem_io.info_bar import find_panel

PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
SAME_ROWS = 2


@dataclass(frozen=True, slots=True)
class Known:
    """Images of one kind, and the rows of bar at their bottom (seen by eye, once a kind)."""

    name: str
    pattern: str
    bar_rows: int


KNOWN = (
    Known("NCM cathode, Zeiss (bar)", "ncm_cathode/*/*.jpg", 64),
    Known("NCM mosaic (none)", "ncm_mosaic/*", 0),
    Known("NASA coatings (none)", "nasa/images/*", 0),
    Known("AMPIS powder (none)", "ampis/powder/*", 0),
    Known("AMPIS spheroidite (none)", "ampis/spheroidite/images/*", 0),
    Known("Shale (none)", "shale/Images/*", 0),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    kind: str
    images: int
    hits: int
    false_crops: int
    missed: int
    hits_by_pixels: int


def main() -> int:
    """Print both tables; status 1 where there is no data or a false crop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, help="write the figures as JSON, too")
    options = parser.parse_args()
    rows = [row for known in KNOWN if (row := look_at(options.data, known)) is not None]
    if not rows:
        print(f"{options.data} holds none of the images: say where they are with --data.")
        return 1
    print(f"{'images':<28}{'n':>6}{'hit':>6}{'false crop':>12}{'missed':>8}{'by pixels':>11}")
    total = Row(
        "all",
        *(
            sum(getattr(row, name) for row in rows)
            for name in ("images", "hits", "false_crops", "missed", "hits_by_pixels")
        ),
    )
    for row in (*rows, total):
        print(
            f"{row.kind:<28}{row.images:>6}{row.hits:>6}{row.false_crops:>12}{row.missed:>8}"
            f"{row.hits_by_pixels:>11}"
        )
    makers = compare_with_metadata(options.data / "vendor")
    print(f"\n{'files of microscopes':<46}{'bar found':>10}{'pixels alone':>14}  from")
    for each in makers:
        by_pixels = "–" if each["pixels"] is None else each["pixels"]
        print(f"{each['file']:<46}{each['bar_rows']:>10}{by_pixels:>14}  {each['source']}")
    told = [each for each in makers if each["source"] == "metadata" and each["bar_rows"]]
    # A file whose pixels were overwritten (with zeros) shows no bar to find.
    seen = [each for each in told if each["pixels"] is not None]
    same = [each for each in seen if abs(each["pixels"] - each["bar_rows"]) <= SAME_ROWS]
    print(
        f"\nMetadata tell a bar in {len(told)} files; in {len(seen)} of them its pixels are there "
        f"(the others were blanked), and in {len(same)} they agree within {SAME_ROWS} rows."
    )
    if options.out:
        figures = {"kinds": [asdict(row) for row in (*rows, total)], "vendor_files": makers}
        options.out.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    return 1 if total.false_crops else 0


def look_at(data: Path, known: Known) -> Row | None:
    """Open all images of a kind and count; None where there are none."""
    paths = [p for p in sorted(data.glob(known.pattern)) if p.suffix.lower() in PICTURES]
    if not paths:
        return None
    hits = false_crops = missed = by_pixels = 0
    for path in paths:
        image = open_image(path)
        top, bottom = image.area.top, image.shape[0] - image.area.bottom
        if (top, bottom) == (0, known.bar_rows):
            hits += 1
        elif top > 0 or bottom > known.bar_rows:
            false_crops += 1
        else:
            missed += 1
        panel = find_panel(image.data, image.shape, image.colour)
        by_pixels += (panel.top_rows, panel.bottom_rows) == (0, known.bar_rows)
    return Row(known.name, len(paths), hits, false_crops, missed, by_pixels)


def compare_with_metadata(folder: Path) -> list[dict[str, object]]:
    """Bar of each microscope's file as opened, and by its pixels alone."""
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES):
        try:
            image = open_image(path)
        except SemClassifyError as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            continue
        found.append(
            {
                "file": str(path.relative_to(folder)),
                "bar_rows": image.shape[0] - image.area.bottom,
                "pixels": rows_by_pixels(image),
                "source": image.specimen.source,
                "reason": image.specimen.reason,
            }
        )
    return found


def rows_by_pixels(image: SemImage) -> int | None:
    """Rows of bar at the bottom by the pixels alone; None where the bar's pixels are blank."""
    plane = image.data[(0,) * len(image.leading_shape)]
    bar = plane[image.area.bottom :] if image.area.bottom < image.shape[0] else plane
    if bar.max() == bar.min():
        return None
    return find_panel(image.data, image.shape, image.colour).bottom_rows


if __name__ == "__main__":
    raise SystemExit(main())
