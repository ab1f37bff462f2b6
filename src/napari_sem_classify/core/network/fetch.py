"""Downloading the weights of networks that do not come with the program."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from napari_sem_classify.core.common.download import Remote, download, has_checksum
from napari_sem_classify.core.common.errors import ModelError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.network.backbone import (
    backbone_info,
    backbone_path,
    backbone_sha256,
    load_backbone,
    user_weights_folder,
)

MOST_BYTES = 1_000_000_000
"""The largest file of weights that is downloaded, where the catalogue does not know its size."""


def fetch_backbone(id: str, *, job: Job | None = None) -> Path:
    """Download a network's weights into the user's weights folder, unless they are there already.

    Parameters
    ----------
    job : Job, optional
        Progress counts megabytes. A cancelled download goes on where it stopped.

    Returns
    -------
    Path
        The weights file, whole and checked.

    Raises
    ------
    ModelError
        When there is no such network, it cannot be downloaded, or what came is something else.
    OutputError
        When the folder cannot be written, or another run writes into it.
    Cancelled
        When the job was asked to stop.
    """
    info = backbone_info(id)
    if info.shipped:
        return backbone_path(id)
    with suppress(ModelError):  # not there, or damaged: the new file takes its place
        backbone_sha256(id)
        return backbone_path(id)

    def check(path: Path) -> bool:
        if info.sha256:
            return has_checksum(path, "sha256", info.sha256, job)
        # No checksum is published: what came has to be such a network at least.
        load_backbone(id, weights_path=path)
        return True

    most_bytes = 5 * info.about_bytes // 4 or MOST_BYTES
    remote = Remote(info.url, info.title, check, ModelError, most_bytes)
    return download(remote, user_weights_folder() / info.filename, job=job)
