"""The info bar of the generated micrograph, burnt in below the specimen as microscopes do.

Pillow's own font has no Greek letters, hence "um", as many microscopes write it too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def draw_info_bar(rows: int, cols: int, pixel_size_nm: float) -> NDArray[np.uint8]:
    """A black panel of `rows` × `cols` px with instrument settings and a scale bar."""
    from PIL import Image, ImageDraw, ImageFont

    panel = Image.new("L", (cols, rows), 0)
    draw = ImageDraw.Draw(panel)
    size = max(8, min(round(rows * 0.30), round(cols * 0.019)))
    font = ImageFont.load_default(size=size)
    draw.line([(0, 0), (cols, 0)], fill=255)
    field = f"HFW {cols * pixel_size_nm / 1000:.1f} um"
    texts = ("GENERATED", "20.00 kV", "BSE", field, f"{pixel_size_nm:g} nm/px")
    middle = rows / 2
    for index, text in enumerate(texts):
        draw.text((cols * (0.02 + 0.135 * index), middle), text, fill=255, font=font, anchor="lm")
    length = round(_nice(cols * 0.2 * pixel_size_nm) / pixel_size_nm)
    right, left = round(cols * 0.97), round(cols * 0.97) - length
    base, tick = round(rows * 0.72), round(rows * 0.10)
    draw.line([(left, base), (right, base)], fill=255, width=3)
    for end in (left, right):
        draw.line([(end, base - tick), (end, base + tick)], fill=255, width=3)
    label = f"{length * pixel_size_nm / 1000:g} um"
    draw.text(((left + right) / 2, rows * 0.34), label, fill=255, font=font, anchor="mm")
    return np.asarray(panel, dtype=np.uint8)


def _nice(length: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is not above `length`."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(max(step * power for step in (1.0, 2.0, 5.0) if step * power <= length))
