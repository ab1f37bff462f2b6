"""Check the system libraries that a real napari canvas needs, and install them where possible.

    python tools/system_libs.py --for tests    a virtual screen (Xvfb) and the libraries
    python tools/system_libs.py --for demo     the libraries, where there is a display to draw on

PyQt6 wheels bring Qt but not the X11, OpenGL and font libraries that Qt loads at run time; on a
bare Debian or Ubuntu the viewer dies with "could not load the Qt platform plugin xcb". Only the
standard library is used, because this runs before anything is installed.
"""

from __future__ import annotations

import argparse
import ctypes.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Need:
    """One Debian package and how to see that it is there.

    Attributes
    ----------
    package : str
        Name of the package in Debian 12 and Ubuntu 22.04 or later.
    library : str
        Name of a shared library in it without ``lib`` and version, empty when it is no library.
    program : str
        Name of a program in it, empty when it is no program.
    """

    package: str
    library: str = ""
    program: str = ""


SCREEN = (Need("xvfb", program="Xvfb"),)
CANVAS = (
    Need("libegl1", "EGL"),
    Need("libgl1", "GL"),
    Need("libgl1-mesa-dri"),
    Need("libxkbcommon-x11-0", "xkbcommon-x11"),
    Need("libxcb-cursor0", "xcb-cursor"),
    Need("libxcb-icccm4", "xcb-icccm"),
    Need("libxcb-keysyms1", "xcb-keysyms"),
    Need("libxcb-image0", "xcb-image"),
    Need("libxcb-randr0", "xcb-randr"),
    Need("libxcb-render-util0", "xcb-render-util"),
    Need("libxcb-shape0", "xcb-shape"),
    Need("libxcb-xkb1", "xcb-xkb"),
    Need("libfontconfig1", "fontconfig"),
    Need("libglib2.0-0", "glib-2.0"),
    Need("libdbus-1-3", "dbus-1"),
)
# Mesa's drivers are plugins that the dynamic linker does not list; they lie in one of these.
DRIVER_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt")


def has_display() -> bool:
    """Tell whether there is a screen that a window can open on."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def is_present(need: Need) -> bool:
    """Tell whether a need is met, whichever way the system got it."""
    if need.program:
        return shutil.which(need.program) is not None
    if need.library:
        return _linker_knows(need.library)
    return _has_opengl_driver()


def missing(needs: tuple[Need, ...]) -> list[str]:
    """Return the Debian packages of the needs that are not met."""
    return [need.package for need in needs if not is_present(need)]


def install(packages: list[str]) -> bool:
    """Install Debian packages through apt.

    Parameters
    ----------
    packages : list of str
        Package names.

    Returns
    -------
    bool
        False when this user may not install packages or apt failed.
    """
    if shutil.which("apt-get") is None:
        return False
    prefix = _root_prefix()
    if prefix is None:
        return False
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        command = [*prefix, "apt-get", "-qq", *arguments]
        if subprocess.run(command, env=environment, check=False).returncode != 0:
            return False
    return True


def main(arguments: list[str] | None = None) -> int:
    """Check, install what can be installed, and say in one sentence what is left.

    Returns
    -------
    int
        0 when everything is there, 1 when something is missing.
    """
    parser = argparse.ArgumentParser(description="Check the system libraries for the viewer.")
    parser.add_argument("--for", dest="purpose", choices=("tests", "demo"), required=True)
    purpose = parser.parse_args(arguments).purpose
    if not sys.platform.startswith("linux"):
        return 0
    if purpose == "demo" and not has_display():
        return 0  # the demo writes files instead of opening a window
    needs = SCREEN + CANVAS if purpose == "tests" else CANVAS
    absent = missing(needs)
    if not absent:
        return 0
    print(f"Installing system libraries for the viewer: {' '.join(absent)}", file=sys.stderr)
    if install(absent) and not (absent := missing(needs)):
        return 0
    print(
        f"The napari window needs system libraries that are missing here; install them with: "
        f"sudo apt-get install -y --no-install-recommends {' '.join(absent)}",
        file=sys.stderr,
    )
    return 1


def _root_prefix() -> list[str] | None:
    """Return what goes before a command to run it as root, None when that needs a password."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    allowed = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False)
    return ["sudo", "-n"] if allowed.returncode == 0 else None


def _linker_knows(library: str) -> bool:
    """Look a library up with ldconfig; a user's PATH often lacks the folder it lies in."""
    if ctypes.util.find_library(library) is not None:
        return True
    ldconfig = shutil.which("ldconfig", path=f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin")
    if ldconfig is None:
        return False
    listing = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=False)
    return f"lib{library}.so" in listing.stdout


def _has_opengl_driver() -> bool:
    """Find Mesa's drivers (libgallium since Mesa 24, swrast_dri before) or NVIDIA's."""
    if _linker_knows("GLX_nvidia"):
        return True
    patterns = ("dri/swrast_dri.so", "*/dri/swrast_dri.so", "libgallium*.so", "*/libgallium*.so")
    return any(
        next(Path(folder).glob(pattern), None) is not None
        for folder in DRIVER_FOLDERS
        for pattern in patterns
    )


if __name__ == "__main__":
    sys.exit(main())
