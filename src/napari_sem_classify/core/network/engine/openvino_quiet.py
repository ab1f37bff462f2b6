"""OpenVINO as the engine takes it: without its telemetry.

``import openvino`` loads its model converter, which reports each import to Google Analytics and
keeps a number for this computer in ``~/intel``, without asking. Where the package
``openvino_telemetry`` cannot be imported it has an empty stand-in of its own, so the package is out
of sight while OpenVINO is imported; other programs find it again afterwards.
Imports openvino: import this module inside functions only.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import cast


@contextmanager
def _out_of_sight(name: str) -> Iterator[None]:
    """Let no one import a module meanwhile, as if it were not installed."""
    modules = cast(dict[str, ModuleType | None], sys.modules)
    before = {each: modules.pop(each) for each in list(modules) if each.split(".")[0] == name}
    modules[name] = None
    try:
        yield
    finally:
        del modules[name]
        modules.update(before)


with _out_of_sight("openvino_telemetry"):
    import openvino as ov
    from openvino import opset13 as ops

__all__ = ["ops", "ov"]
