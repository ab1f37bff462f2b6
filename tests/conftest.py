"""Fixtures that every part of the tests shares."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure: properties are judged by what they say, not by their time.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

REPOSITORY = Path(__file__).resolve().parents[1]


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
