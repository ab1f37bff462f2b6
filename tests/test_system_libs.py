"""The check for the viewer's system libraries, on machines made poor by an empty PATH."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import system_libs

SCRIPT = Path(system_libs.__file__)
linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux lacks these libraries"
)


def check(purpose: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, "--for", purpose],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@linux
def test_a_machine_without_xvfb_and_apt_is_told_the_exact_command(tmp_path):
    (tmp_path / "ldconfig").symlink_to(shutil.which("ldconfig", path="/sbin:/usr/sbin:/bin"))
    result = check("tests", PATH=str(tmp_path))
    assert result.returncode == 1
    sentence = result.stderr.splitlines()[-1]
    assert "sudo apt-get install -y --no-install-recommends" in sentence
    assert "xvfb" in sentence.split()


@linux
def test_apt_is_asked_for_what_is_missing_and_believed_only_when_it_came(tmp_path):
    apt = tmp_path / "apt-get"
    apt.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    apt.chmod(0o755)
    sudo = tmp_path / "sudo"
    sudo.write_text('#!/bin/sh\nshift; [ "$1" = true ] || exec "$@"\n')
    sudo.chmod(0o755)
    (tmp_path / "true").symlink_to("/bin/true")
    result = check("tests", PATH=str(tmp_path))
    update, install = (tmp_path / "calls").read_text().splitlines()
    assert update.split()[-1] == "update"
    assert "install -y --no-install-recommends xvfb" in install
    assert result.returncode == 1, "this apt installed nothing"


@linux
def test_the_demo_without_a_display_needs_no_libraries(tmp_path):
    result = check("demo", PATH=str(tmp_path))
    assert result.returncode == 0
    assert not result.stderr


def test_a_library_that_does_not_exist_is_missing():
    absent = system_libs.Need("libnosuchthing1", "nosuchthing")
    assert system_libs.missing((absent,)) == ["libnosuchthing1"]


def test_every_package_is_named_once():
    packages = [need.package for need in system_libs.SCREEN + system_libs.CANVAS]
    assert len(packages) == len(set(packages))
