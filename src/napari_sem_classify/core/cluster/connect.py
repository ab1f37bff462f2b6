"""Coming to a Dask cluster: the connection, what its workers must have, and the model for them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from napari_sem_classify.core.cluster.worker import look_around
from napari_sem_classify.core.common.errors import DeviceError
from napari_sem_classify.core.model.file import save_model
from napari_sem_classify.core.model.head import TileClassifier

CONNECT_S = 30.0


@contextmanager
def connected(scheduler: str) -> Iterator[Any]:
    """Give a client of a Dask cluster.

    Raises
    ------
    DeviceError
        When ``dask.distributed`` is not installed or no scheduler answers.
    """
    if find_spec("distributed") is None:
        raise DeviceError(
            "A Dask cluster needs dask.distributed, which is not installed: "
            "run pip install 'napari-sem-classify[distributed]'."
        )
    import distributed

    connect: Any = distributed.Client
    # The user reads one sentence, not its tracebacks; dask sets the level of its client by itself.
    chatty = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    before = [each.level for each in chatty]
    for each in chatty:
        each.setLevel(logging.CRITICAL)
    try:
        try:
            client = connect(scheduler, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise DeviceError(
                f"No Dask scheduler answers at {scheduler}: check the address (tcp://host:8786) "
                "and that the cluster runs."
            ) from error
        with client:
            yield client
    finally:
        for each, level in zip(chatty, before, strict=True):
            each.setLevel(level)


def model_file(folder: Path, classifier: TileClassifier) -> Path:
    """Write a copy of the model for the workers into a folder that lasts as long as the run."""
    return save_model(folder / "model.safetensors", classifier)


def check_workers(client: Any, path: Path, folder: Path) -> bool:
    """Prove that there are workers, that they have this program, and see a path in a folder.

    Returns
    -------
    bool
        Whether all of them have 8-bit arithmetic.

    Raises
    ------
    DeviceError
        When it is not so; the sentence names the worker.
    """
    from distributed.comm.core import CommClosedError

    from napari_sem_classify import __version__

    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
        try:
            found = client.run(look_around, path)
        except CommClosedError:  # a worker went away meanwhile: the others are asked
            client.wait_for_workers(1, timeout=CONNECT_S)
            found = client.run(look_around, path)
    except TimeoutError as error:
        raise DeviceError("The Dask cluster has no workers: start some, then try again.") from error
    except Exception as error:
        raise DeviceError(
            f"The workers of the Dask cluster cannot run napari-sem-classify ({error!r}): "
            "install the same version there."
        ) from error
    for worker, there in found.items():
        if there.version != __version__:
            raise DeviceError(
                f"The worker {worker} has napari-sem-classify {there.version}, and here it is "
                f"{__version__}: install the same version there."
            )
        if not there.sees:
            raise DeviceError(
                f"The worker {worker} does not see the folder {folder}: write into a folder "
                "that all machines share under the same path."
            )
    return all(there.has_8_bits for there in found.values())
