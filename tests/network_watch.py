"""Python processes in an empty home that note each attempt to reach another computer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_HOOK = """
import os, sys

LOCAL = ("127.", "::1", "localhost", "0.0.0.0")
EVENTS = ("socket.connect", "socket.sendto", "socket.sendmsg")


def note(event, arguments):
    if event in EVENTS:
        address = arguments[1]
        if not isinstance(address, tuple):
            return  # a socket of this computer, or one that was connected before
        host = address[0]
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host and not host.startswith(LOCAL):
        with open(os.environ["NETWORK_NOTES"], "a", encoding="utf-8") as file:
            file.write(f"{event} {host} by {sys.argv[:3]}\\n")


sys.addaudithook(note)
"""


def run_watched(folder: Path, *arguments: str, timeout: float = 300) -> tuple[list[str], Path]:
    """Run Python with arguments, its children too; give what they tried to reach, and their home.

    Only what goes through Python's sockets is seen, which is all that libraries of Python use.
    """
    hooks, home, notes = folder / "hooks", folder / "home", folder / "attempts.txt"
    hooks.mkdir(exist_ok=True)
    home.mkdir(exist_ok=True)
    (hooks / "sitecustomize.py").write_text(_HOOK, encoding="utf-8")
    notes.touch()
    drop = ("XDG_", "CI", "TF_BUILD", "JENKINS")  # with these some telemetry is off
    environment = {name: text for name, text in os.environ.items() if not name.startswith(drop)}
    environment |= {
        "HOME": str(home),
        "USERPROFILE": str(home),
        "LOCALAPPDATA": str(home),
        "PYTHONPATH": os.pathsep.join([str(hooks), str(Path(__file__).parent)]),
        "NETWORK_NOTES": str(notes),
    }
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return notes.read_text(encoding="utf-8").splitlines(), home
