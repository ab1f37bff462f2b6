"""File > Open Sample: a generated cross-section, and a real coating image for those online."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sem_classify.core.common.errors import Cancelled, ImageError
from napari_sem_classify.core.common.job import Job

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_sem_classify.core.sample.cross_section import Sample
    from napari_sem_classify.plugin.layers.file_layers import LayerData

NASA_NAME = "nasa-coating"
NASA_URL = (
    "https://raw.githubusercontent.com/nasa/pretrained-microscopy-models/"
    "63ef39f50220db4c4baad8777fbf1f80d6689442/"
    "benchmark_segmentation_data/EBC1/train/010417%234_S2480009.tif"
)
NASA_SHAPE = (1024, 1024)
# Of the pixels, row by row, 8-bit grey: it holds whichever way the file is packed.
NASA_PIXELS_SHA256 = "243fb8505572e2f8648aeb1cff699009477033b79e35c11d11359942db3be7fe"
NASA_ORIGIN = (
    "Environmental barrier coating, NASA pretrained-microscopy-models (MIT licence); "
    "Stuckner et al., npj Computational Materials 8, 200 (2022)"
)
NASA_MOST_BYTES = 8_000_000
QUIET_S = 15.0
MOST_S = 60.0


def cross_section() -> list[LayerData]:
    """Give the generated coating cross-section with its truth, hidden, as layers."""
    from napari_sem_classify.plugin.files.making_sample import generate_now

    sample = generate_now()
    _choose_image_once_added()
    return cross_section_layers(sample)


def _choose_image_once_added() -> None:
    """Make the image the active layer: napari takes the last one, which is the hidden truth."""
    from napari import current_viewer
    from napari.layers import Image
    from qtpy.QtCore import QTimer

    viewer = current_viewer()
    if viewer is None:
        return
    before = set(viewer.layers)

    def choose() -> None:
        added = [each for each in viewer.layers if each not in before]
        for image in [each for each in added if isinstance(each, Image)][:1]:
            viewer.layers.selection.active = image

    QTimer.singleShot(0, choose)


def cross_section_layers(sample: Sample) -> list[LayerData]:
    """The image layer of a generated sample and, hidden, a Labels layer with its truth."""
    from napari_sem_classify.core.model.card import ClassInfo, default_colours
    from napari_sem_classify.core.sample.demo import sample_image
    from napari_sem_classify.plugin.layers.file_layers import image_layer
    from napari_sem_classify.plugin.layers.made_layers import class_colormap, layer_name

    image, keywords, kind = image_layer(sample_image(sample))
    names = sample.class_names
    colours = default_colours(len(names))
    classes = tuple(ClassInfo(*pair) for pair in zip(names, colours, strict=True))
    truth: dict[str, Any] = {
        "name": layer_name(keywords["name"], "truth"),
        "colormap": class_colormap(classes),
        "features": {"index": list(range(len(names) + 1)), "class": ["no specimen", *names]},
        "visible": False,
        "opacity": 0.5,
        "scale": keywords["scale"],
        "units": keywords["units"],
    }
    return [(image, keywords, kind), (sample.truth, truth, "labels")]


def nasa_coating() -> list[LayerData]:
    """Give a real coating image by NASA, downloaded once and checked."""
    from napari_sem_classify.core.sem_io import image_from_array
    from napari_sem_classify.plugin.layers.file_layers import image_layer

    path = fetch_nasa_coating()
    pixels = checked_pixels(path)
    image = image_from_array(pixels, NASA_NAME, path=path, metadata={"origin": NASA_ORIGIN})
    return [image_layer(image)]


def fetch_nasa_coating(url: str = NASA_URL, folder: Path | None = None) -> Path:
    """Give the downloaded file, from the cache folder where it is there already.

    The user is told before anything is downloaded.
    """
    from napari.utils.notifications import show_info
    from platformdirs import user_cache_path

    from napari_sem_classify.core.common.download import Remote, download

    folder = folder or user_cache_path("napari-sem-classify", appauthor=False) / "samples"
    target = folder / f"{NASA_NAME}.tif"
    if target.is_file():
        return target
    show_info(f"Downloading a coating image of about 1 MB from github.com into {folder} ...")
    # The window waits for it: one attempt, and no longer than that.
    job = Job()
    late = threading.Timer(MOST_S, job.cancel)
    late.daemon = True
    late.start()
    remote = Remote(
        url,
        "the coating image",
        _is_nasa_image,
        ImageError,
        NASA_MOST_BYTES,
        attempts=1,
        quiet_s=QUIET_S,
    )
    try:
        return download(remote, target, job=job)
    except Cancelled as error:
        raise ImageError(
            f"The coating image did not come within {MOST_S:.0f} s: try again on another network "
            "connection, or open the generated cross-section instead."
        ) from error
    finally:
        late.cancel()


def _is_nasa_image(path: Path) -> bool:
    checked_pixels(path)
    return True


def checked_pixels(path: Path) -> NDArray[np.uint8]:
    """Pixels of the downloaded image; raises `ImageError` where they are not the published ones."""
    import numpy as np
    from tifffile import imread

    try:
        pixels = np.asarray(imread(path))
        if pixels.ndim == 3:  # grey written as RGB
            pixels = pixels[..., 0]
        digest = hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
        if pixels.shape != NASA_SHAPE or digest != NASA_PIXELS_SHA256:
            raise ValueError("other pixels")
    except Exception as error:  # whatever a damaged file makes the decoder raise
        raise ImageError(
            f"{path.name} is not the coating image that was expected: delete it and download it "
            "again, or open the generated cross-section instead."
        ) from error
    return pixels
