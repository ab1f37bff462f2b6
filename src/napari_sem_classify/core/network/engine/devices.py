"""Which processors there are, what they are called, and what arithmetic they are good at."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from napari_sem_classify.core.common.errors import DeviceError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class DeviceChoice:
    """A device and backend that the user can choose.

    `id` is for `make_engine` and the command line ("cpu", "cuda:0", "mps"), `title` for the user
    ("CPU (AMD EPYC)", "NVIDIA H100", "Apple GPU"); `backend` is "torch", "openvino" or "auto".
    """

    id: str
    title: str
    backend: str


AUTOMATIC = DeviceChoice("auto", "automatic", "auto")
"""Leaves it to the program."""


def available_devices() -> list[DeviceChoice]:
    """List the devices of this computer, the fastest kind first.

    Imports torch (a second or two the first time): call it off the main thread of a viewer.
    """
    import torch

    found = [(f"cuda:{index}", "torch") for index in range(_cuda_count())]
    if torch.backends.mps.is_available():
        found.append(("mps", "torch"))
    if has_openvino():
        found.append(("cpu", "openvino"))
    found.append(("cpu", "torch"))
    return [DeviceChoice(id, device_title(torch.device(id)), backend) for id, backend in found]


def find_device(name: str) -> torch.device:
    """Give the torch device that a user's word means.

    Parameters
    ----------
    name : str
        "auto" (a CUDA GPU, else an Apple GPU, else the CPU), "cpu", "cuda", "cuda:1", "mps".

    Raises
    ------
    DeviceError
        When there is no such device here.
    """
    import torch

    word = name.strip().lower()
    if word == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, number = word.partition(":")
    if kind == "cpu" and number in ("", "0"):
        return torch.device("cpu")
    if kind == "mps" and number in ("", "0"):
        if torch.backends.mps.is_available():
            return torch.device("mps")
        raise DeviceError(f"This computer has no Apple GPU that torch can use: {_others()}.")
    if kind == "cuda" and (number == "" or number.isdecimal()):
        count = _cuda_count()
        if int(number or 0) < count:
            return torch.device("cuda", int(number or 0))
        raise DeviceError(f"The device {name!r} is not there ({_cuda_reason(count)}): {_others()}.")
    raise DeviceError(f"{name!r} is no device: {_others()}.")


def device_title(device: torch.device) -> str:
    """Name of a device as the user knows it."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU"
    return f"CPU ({cpu_name()})"


def has_openvino() -> bool:
    """Whether OpenVINO is installed; it is not imported."""
    return find_spec("openvino") is not None


@lru_cache(maxsize=1)
def cpu_name() -> str:
    """Maker's name of the processor, or of its architecture where the system does not tell."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"


def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 in hardware (AVX-512 BF16, AMX, or Arm's BF16)."""
    import torch

    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is not None:
        found = capabilities()
        return any(bool(found.get(key)) for key in ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16"))
    # torch before 2.10 tells only through these, whose names are not promised.
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        check = getattr(torch.cpu, name, None)
        if check is not None and check():
            return True
    if platform.machine().lower() in ("arm64", "aarch64"):
        check = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
        return bool(check is not None and check())
    return False


def _cuda_count() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _cuda_reason(count: int) -> str:
    import torch

    if count:
        return f"there {'is one' if count == 1 else f'are {count}'}, counted from 0"
    if torch.version.cuda is None:
        return "the installed torch is built without CUDA"
    return "torch finds no NVIDIA GPU or its driver"


def _others() -> str:
    names = dict.fromkeys(choice.id for choice in available_devices())
    return "choose auto, " + ", ".join(names)
