"""Import torchvision also where its compiled part does not fit the installed torch.

``pip install torchvision`` gives a CUDA build. Beside a CPU-only torch its compiled operators do
not load, and the import ends with ``operator torchvision::nms does not exist``. The networks and
the image transforms need none of these operators: once their names are declared, the rest imports.
"""

from __future__ import annotations

import importlib
import threading
from types import ModuleType
from typing import Any

_MISSING_OPERATOR = "operator torchvision::nms does not exist"
_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

_lock = threading.Lock()
_declared: list[Any] = []  # torch forgets the operators when the library object is collected


def import_torchvision() -> ModuleType:
    """Import torchvision, declaring its two missing operators first where it fails without them.

    Call it before anything else that imports torchvision, fastai included. Where torchvision
    imports by itself it does nothing more. May be called from any thread.

    Where the operators had to be declared, ``torchvision.ops.nms`` and ``torchvision.io`` do not
    work.

    Raises
    ------
    ImportError, RuntimeError
        When torchvision is not installed or fails for another reason.
    """
    with _lock:
        try:
            return importlib.import_module("torchvision")
        except RuntimeError as error:
            if _MISSING_OPERATOR not in str(error) or _declared:
                raise
        _declare_operators()
        return importlib.import_module("torchvision")


def _declare_operators() -> None:
    import torch

    new_library: Any = torch.library.Library  # torch gives it no types
    library = new_library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(operator + _SIGNATURE)
    _declared.append(library)
