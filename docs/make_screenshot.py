"""Make `docs/screenshot.png`: the demo as a user sees it.

Run with ``xvfb-run -a -s "-screen 0 1600x1100x24" python docs/make_screenshot.py``.
"""

from __future__ import annotations

import time
from pathlib import Path

import napari
from PIL import Image
from qtpy.QtWidgets import QApplication

WIDTH_PX, HEIGHT_PX = 1400, 900
COLOURS = 192
SETTLE_S = 12.0


def main() -> None:
    """Open the demo, wait until the form has timed the model, save the window."""
    from napari_sem_classify.core.sample.demo import run_demo
    from napari_sem_classify.plugin.files.demo_view import dock_form, show_demo

    demo = run_demo()
    viewer = napari.Viewer(title="SEM classify demo")
    viewer.window.resize(WIDTH_PX, HEIGHT_PX)
    show_demo(viewer, demo)
    dock_form(viewer)
    end = time.monotonic() + SETTLE_S
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.02)
    shot = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)[..., :3])
    path = Path(__file__).with_name("screenshot.png")
    shot.quantize(COLOURS).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} kB, {shot.size[0]} × {shot.size[1]} px")
    viewer.close()


if __name__ == "__main__":
    main()
