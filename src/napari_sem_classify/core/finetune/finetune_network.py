"""The network while it is trained: the engine's own, with every layer free.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_sem_classify.core.model.head import Head
from napari_sem_classify.core.network.backbone import backbone_info, load_backbone
from napari_sem_classify.core.network.engine import devices
from napari_sem_classify.core.network.torch_modules import PooledStages


class LinearHead(nn.Module):
    """Standardisation, dropout and a linear layer: what a `Head` is, in a form that learns.

    With `fixed` the standardisation keeps the mean and scale it was given; else it follows the
    features from batch to batch, as batch-norm does.
    """

    def __init__(self, features: int, classes: int, *, dropout: float, fixed: bool) -> None:
        super().__init__()
        self.standardise = nn.BatchNorm1d(features, affine=False)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(features, classes)
        self.fixed = fixed

    def train(self, mode: bool = True) -> LinearHead:
        """Set training mode; a fixed standardisation stays as it is."""
        super().train(mode)
        if self.fixed:
            self.standardise.eval()
        return self

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, classes) of features (N, D)."""
        logits: Tensor = self.linear(self.dropout(self.standardise(features)))
        return logits

    def start_from(self, head: Head) -> None:
        """Take over a fitted head."""
        with torch.no_grad():
            self._mean.copy_(torch.from_numpy(np.array(head.mean)))
            variance = torch.from_numpy(np.square(head.scale, dtype=np.float32))
            self._variance.copy_((variance - self.standardise.eps).clamp(min=0.0))
            self.linear.weight.copy_(torch.from_numpy(np.array(head.weight)))
            self.linear.bias.copy_(torch.from_numpy(np.array(head.bias)))

    def standardise_by(self, features: Tensor) -> None:
        """Take mean and scale from these features (N, D); the weights stay."""
        with torch.no_grad():
            self._mean.copy_(features.mean(dim=0))
            self._variance.copy_(features.var(dim=0, correction=0))

    def to_head(self) -> Head:
        """The head as the rest of the program uses it."""
        scale = (self._variance + self.standardise.eps).sqrt()
        values = (self._mean, scale, self.linear.weight, self.linear.bias)
        return Head(*(value.detach().float().cpu().numpy().copy() for value in values))

    @property
    def _mean(self) -> Tensor:
        assert self.standardise.running_mean is not None
        return self.standardise.running_mean

    @property
    def _variance(self) -> Tensor:
        assert self.standardise.running_var is not None
        return self.standardise.running_var


class TrainedNetwork(nn.Module):
    """Grey tiles in, logits out; every part of it can be taken over by an engine unchanged.

    Parameters
    ----------
    backbone_id : str
        Whose weights it starts from.
    classes : int
    stages : sequence of int
        Stages to pool.
    dropout : float
    fixed_norms : bool
        Whether all batch-norms and the head's standardisation keep their statistics.
    dtype : torch.dtype
        Of the trunk's arithmetic; weights stay float32.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone_id: str,
        classes: int,
        *,
        stages: Sequence[int],
        dropout: float,
        fixed_norms: bool,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        backbone = backbone_info(backbone_id)
        self.trunk = PooledStages(load_backbone(backbone_id).requires_grad_(True), stages)
        features = backbone.architecture.feature_size(stages)
        self.head = LinearHead(features, classes, dropout=dropout, fixed=fixed_norms)
        self.fixed_norms = fixed_norms
        self.dtype = dtype
        # Compiled, for training; see `finetune_compiled`.
        self.fast: Callable[[Tensor], Tensor] | None = None
        for name in ("mean", "std"):
            values = torch.tensor(getattr(backbone.scaling, name))[:, None, None]
            self.register_buffer(name, values, persistent=False)

    def train(self, mode: bool = True) -> TrainedNetwork:
        """Set training mode; fixed batch-norms stay as they are."""
        super().train(mode)
        if self.fixed_norms:
            for module in self.trunk.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def fix_norms(self) -> None:
        """From now on batch-norms and standardisation keep their statistics."""
        self.fixed_norms = self.head.fixed = True

    def features(self, grey: Tensor) -> Tensor:
        """Pooled features (N, D) float32 of grey tiles 0 to 1, shape (N, 1, H, W)."""
        colour = ((grey - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        with torch.autocast(
            colour.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32
        ):
            pooled: Tensor = self.trunk(colour)
        return pooled

    def forward(self, grey: Tensor) -> Tensor:
        """Logits (N, classes)."""
        if self.fast is not None and self.training:
            return self.fast(grey)
        return self.as_it_is(grey)

    def as_it_is(self, grey: Tensor) -> Tensor:
        """Logits (N, classes), nothing compiled."""
        logits: Tensor = self.head(self.features(grey))
        return logits

    def trunk_weights(self) -> dict[str, NDArray[Any]]:
        """Weights of the trunk by torchvision's names."""
        return {
            name: value.detach().cpu().numpy().copy()
            for name, value in self.trunk.network.state_dict().items()
        }


def layer_groups(model: TrainedNetwork) -> list[list[nn.Parameter]]:
    """Parameters from the first layers to the head, in the groups that get their own rate."""
    groups: list[list[nn.Parameter]] = [[]]
    for name, part in model.trunk.network.named_children():
        if name.startswith("layer") and name != "layer1":  # the stem belongs to the first stage
            groups.append([])
        groups[-1] += part.parameters()
    return [*groups, list(model.head.parameters())]


def training_arithmetic(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor has it, else float32."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and devices.cpu_has_bfloat16()
    return torch.bfloat16 if native else torch.float32
