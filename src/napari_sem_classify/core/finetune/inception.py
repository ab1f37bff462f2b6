"""Inception-v3 with ImageNet weights, the network of Modarres et al. 2017, for comparison only.

Its weights do not come with the program: a file of the user's, one already downloaded, or a
download. It never stands on random weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_sem_classify.core.common.download import Remote, has_checksum
from napari_sem_classify.core.common.download import download as fetch
from napari_sem_classify.core.common.errors import ModelError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.network.backbone import user_weights_folder
from napari_sem_classify.core.network.torchvision_compat import import_torchvision
from napari_sem_classify.core.network.weights_file import load_state_dict_file

if TYPE_CHECKING:
    from torch import Tensor, nn

FILENAME = "inception_v3_google-0cc3c7bd.pth"
URL = f"https://download.pytorch.org/models/{FILENAME}"
SHA256 = "0cc3c7bd"
ABOUT_BYTES = 108_950_000
INPUT_PX = 299


def load_inception(
    path: Path | None = None, *, download: bool = True, job: Job | None = None
) -> nn.Module:
    """Inception-v3 that gives 2048 pooled features of RGB from -1 to 1, shape (N, 3, 299, 299).

    Parameters
    ----------
    path : Path, optional
        The weights by torchvision's names. Where None they are looked for in the program's weights
        folder and torch's own, and then downloaded.
    download : bool
        Whether they may be downloaded.
    job : Job, optional
        Told of a download, and asked whether it shall stop.

    Raises
    ------
    ModelError
        When the weights are nowhere to be had, damaged, or not Inception-v3's.
    """
    import torch

    import_torchvision()
    from torchvision.models import inception_v3

    weights = _weights(path, download, job)
    # Google's weights take values from -1 to 1; torchvision's own re-scaling is then not needed.
    with torch.device("meta"):
        network: nn.Module = inception_v3(
            weights=None, init_weights=False, aux_logits=True, transform_input=False
        )
    try:
        network.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise ModelError(
            f"{path or FILENAME} does not hold the weights of torchvision's Inception-v3: "
            f"take {FILENAME}."
        ) from error
    network.fc = torch.nn.Identity()
    return network.float().eval().requires_grad_(False)


def _weights(path: Path | None, download: bool, job: Job | None) -> dict[str, Tensor]:
    import torch

    if path is not None:
        return load_state_dict_file(path)
    known = (user_weights_folder() / FILENAME, Path(torch.hub.get_dir()) / "checkpoints" / FILENAME)
    for place in known:
        if place.is_file():
            return load_state_dict_file(place)
    if not download:
        raise ModelError(
            f"The weights of Inception-v3 are not here: put {FILENAME} from {URL} into the folder "
            f"{user_weights_folder()}."
        )
    remote = Remote(
        URL,
        "Inception-v3",
        lambda path: has_checksum(path, "sha256", SHA256, job),
        ModelError,
        most_bytes=5 * ABOUT_BYTES // 4,
    )
    return load_state_dict_file(fetch(remote, known[0], job=job))
