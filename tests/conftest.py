"""Fixtures that every part of the tests shares."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:
    # Processes side by side share the cores: no library takes all of them. Before torch or numpy.
    for _library in ("OMP", "MKL", "OPENBLAS"):
        os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

# A busy machine is no failure: properties are judged by what they say, not by their time.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

REPOSITORY = Path(__file__).resolve().parents[1]
HOMES = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")


def pytest_configure(config):
    """Caches, settings, models and logs lie in a folder of this process, not in the user's."""
    folder = TemporaryDirectory(prefix="sem-classify-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    for home in HOMES:
        os.environ[home] = str(Path(folder.name, home.split("_")[1].lower()))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real SEM data and weights that lies beside the repository."""
    folder = REPOSITORY.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip(f"needs the real SEM data in {folder}, which is not on this machine")
    return folder


@pytest.fixture(scope="session")
def shared_data(shared: Path) -> Path:
    """The real SEM images, see ``index.csv`` in the folder."""
    return shared / "data"


@pytest.fixture(scope="module")
def one_thread():
    """Work this small only waits for other threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tiny_by_default(tmp_path_factory):
    """What takes the usual network takes a tiny one: a real network that runs in milliseconds."""
    from tiny_backbone import known_backbone

    from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE

    with known_backbone(tmp_path_factory.mktemp("weights"), DEFAULT_BACKBONE) as info:
        yield info
