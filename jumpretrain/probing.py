"""Try a network on two examples, so that what cannot work is refused before long work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from jumpretrain.measures import cross_entropy

if TYPE_CHECKING:
    from jumpretrain.task import Task

__all__ = ["probe"]

RANDOM = (
    "evaluation must be deterministic, but the forward is random in evaluation mode; "
    "use nn.Dropout or test self.training"
)


def probe(task: Task) -> None:
    """Check that model, loss, metrics and data of a task fit together.

    Raises:
        ValueError: If they do not; the message says which.
    """
    module = task.module().eval()
    inputs, targets = task.tensors["train_x"][:2], task.tensors["train_y"][:2]
    before = task.layout.read(module)
    outputs = _forward(module, inputs)
    if not torch.equal(before, task.layout.read(module)):
        raise ValueError(
            "evaluation must not change a network, but this forward changes buffers in eval mode; "
            "update them in training mode only"
        )
    again = _forward(module, inputs)
    if isinstance(again, torch.Tensor) and not torch.allclose(
        outputs, again, rtol=1e-3, equal_nan=True
    ):
        raise ValueError(RANDOM)
    _check_labels(task, outputs)
    for name, measure in task.measures.items():
        values = measure(outputs, targets)
        if tuple(values.shape) != (len(inputs),):
            raise ValueError(
                f"{name} must give one value for each example, ({len(inputs)},), but gives "
                f"{tuple(values.shape)}; use reduction='none'"
            )


def _forward(module: nn.Module, inputs: torch.Tensor) -> Any:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(0)
        before = torch.default_generator.get_state()
        outputs = module(inputs)
        if not torch.equal(before, torch.default_generator.get_state()):
            raise ValueError(RANDOM)
    return outputs


def _check_labels(task: Task, outputs: Any) -> None:
    if task.loss is not cross_entropy or not isinstance(outputs, torch.Tensor):
        return
    for name in ("train_y", "test_y"):
        labels, classes = task.tensors[name], outputs.shape[1] if outputs.ndim > 1 else 1
        if labels.is_floating_point():
            raise ValueError(
                f"cross-entropy needs integer labels, but {name} is {labels.dtype}; "
                "convert them, or pass loss=squared_error"
            )
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= classes:
            raise ValueError(
                f"labels must lie in 0..{classes - 1}, the model's outputs, but {name} has "
                f"{low}..{high}; relabel them or widen the last layer"
            )
