"""Hits and false crops of the info-bar detection on real specimens under bars in makers' layouts.

    python benchmarks/info_bar_layouts.py [--data ../shared/data] [--images 60] [--out FILE.json]

Real pictures without a bar get one drawn in the layout of a maker, are resampled as figures in
papers are, and are saved as JPEG. A *hit* finds the bar's rows within 3, a *false crop* takes more
than that of the specimen, *missed* is a bar that stays. Text boxes that cover a part of the width
only, and pictures without a bar, have nothing to crop.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from napari_sem_classify.core.sem_io import open_image
from napari_sem_classify.core.sem_io.info_bar import find_panel

PATTERNS = ("nasa/images/*", "shale/Images/*", "ampis/spheroidite/images/*", "ncm_cathode/*/*.jpg")
SAME_ROWS = 3
Picture = NDArray[np.uint8]


def text(draw: ImageDraw.ImageDraw, place: tuple[int, int], words: str, ink: int, px: int) -> None:
    draw.text(place, words, fill=ink, font=ImageFont.load_default(size=px))


def strip(rows: int, ground: int, ink: int, lines: int = 1, frame: bool = False) -> Callable:
    """A bar of the whole width: flat ground, lines of text, a scale bar with ticks."""

    def draw_on(picture: Picture) -> tuple[Picture, int]:
        cols = picture.shape[1]
        bar = Image.new("L", (cols, rows), ground)
        pen = ImageDraw.Draw(bar)
        px = max(8, int(0.7 * rows / lines) - 2)
        for line in range(lines):
            words = (
                "S4800 15.0kV 8.1mm x10.0k SE(U) 24/05/06" if not line else "HFW 12.4 um WD 8 mm"
            )
            text(pen, (cols // 60, line * rows // lines + 1), words, ink, px)
        left, right, middle = int(0.72 * cols), int(0.95 * cols), rows // 2
        for tick in np.linspace(left, right, 11).astype(int):
            pen.line([(tick, middle - rows // 6), (tick, middle + rows // 6)], fill=ink, width=2)
        if frame:
            pen.rectangle([(0, 0), (cols - 1, rows - 1)], outline=ink, width=2)
        return np.vstack([picture, np.asarray(bar)]), rows

    return draw_on


def boxes(ground: int, ink: int) -> Callable:
    """Text boxes in two corners, over the specimen: no rows to crop."""

    def draw_on(picture: Picture) -> tuple[Picture, int]:
        drawn = Image.fromarray(picture)
        pen, (rows, cols) = ImageDraw.Draw(drawn), picture.shape
        for left in (0, int(0.65 * cols)):
            pen.rectangle([(left, rows - 40), (left + int(0.3 * cols), rows)], fill=ground)
            text(pen, (left + 4, rows - 32), "10 µm EHT = 5.00 kV", ink, 18)
        return np.asarray(drawn), 0

    return draw_on


LAYOUTS: dict[str, Callable] = {
    "no bar": lambda picture: (picture, 0),
    "S-4800, black strip": strip(44, 0, 255),
    "Hitachi SU, two lines": strip(64, 0, 255, lines=2),
    "LEO, black with frame": strip(56, 0, 255, lines=2, frame=True),
    "Zeiss, grey": strip(64, 110, 255, lines=2),
    "white with black text": strip(52, 255, 0),
    "white text boxes": boxes(255, 0),
    "black text boxes": boxes(0, 255),
}


def resized(factor: float, how: Image.Resampling) -> Callable[[Picture], Picture]:
    def work(picture: Picture) -> Picture:
        rows, cols = picture.shape
        size = (round(cols * factor), round(rows * factor))
        return np.asarray(Image.fromarray(picture).resize(size, how))

    return work


def jpeg(picture: Picture, quality: int = 80) -> Picture:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


WAYS: dict[str, tuple[float, Callable[[Picture], Picture]]] = {
    "as it is": (1.0, lambda picture: picture),
    "JPEG": (1.0, jpeg),
    "half, bicubic": (0.5, resized(0.5, Image.Resampling.BICUBIC)),
    "0.73, bilinear, JPEG": (0.73, lambda p: jpeg(resized(0.73, Image.Resampling.BILINEAR)(p))),
    "1.37, bicubic": (1.37, resized(1.37, Image.Resampling.BICUBIC)),
    "1.6, Lanczos, JPEG": (1.6, lambda p: jpeg(resized(1.6, Image.Resampling.LANCZOS)(p))),
}


def specimens(data: Path, most: int) -> Iterator[Picture]:
    """Grey pictures of the specimen areas, spread over the sets, 8 bit."""
    for pattern in PATTERNS:
        paths = sorted(path for path in data.glob(pattern) if path.suffix.lower() != ".txt")
        for path in paths[:: max(1, len(paths) * len(PATTERNS) // most)]:
            image = open_image(path)
            pixels = image.read(image.area)[:1024, :1280]
            scale = 255.0 / max(1, int(pixels.max())) if pixels.dtype != np.uint8 else 1.0
            yield (pixels * scale).astype(np.uint8)


def main() -> int:
    """Print a table of layouts and ways; status 1 where specimen was cropped."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--out", type=Path, help="write the counts as JSON, too")
    options = parser.parse_args()
    counts = {name: {way: [0, 0, 0] for way in WAYS} for name in LAYOUTS}
    for picture in specimens(options.data, options.images):
        for name, draw_on in LAYOUTS.items():
            drawn, bar = draw_on(picture)
            for way, (factor, work) in WAYS.items():
                shown = work(drawn)
                found = find_panel(shown, shown.shape, "grey")
                extra = found.bottom_rows - bar * factor
                good = abs(extra) <= SAME_ROWS and not found.top_rows
                false_crop = found.top_rows > 0 or extra > SAME_ROWS
                counts[name][way][0 if good else 1 if false_crop else 2] += 1
    total = [0, 0, 0]
    print(f"{'layout':<26}{'way':<24}{'n':>5}{'hit':>6}{'false crop':>12}{'missed':>8}")
    for name, ways in counts.items():
        for way, (hit, false, missed) in ways.items():
            print(f"{name:<26}{way:<24}{hit + false + missed:>5}{hit:>6}{false:>12}{missed:>8}")
            total = [t + n for t, n in zip(total, (hit, false, missed), strict=True)]
    print(f"{'all':<50}{sum(total):>5}{total[0]:>6}{total[1]:>12}{total[2]:>8}")
    if options.out:
        options.out.write_text(json.dumps(counts, indent=2), encoding="utf-8")
    return 1 if total[1] else 0


if __name__ == "__main__":
    raise SystemExit(main())
