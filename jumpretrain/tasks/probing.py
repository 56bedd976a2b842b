"""Try a network on two examples, so that what cannot work is refused before long work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from jumpretrain.tasks.constants import check_kept, constants
from jumpretrain.tasks.layout import Layout
from jumpretrain.tasks.measures import PerExample, cross_entropy

__all__ = ["probe", "reason"]

RANDOM = (
    "evaluation must be deterministic, but the forward is random in evaluation mode; "
    "use nn.Dropout or test self.training"
)


def probe(
    module: nn.Module,
    layout: Layout,
    measures: Mapping[str, PerExample],
    tensors: Mapping[str, torch.Tensor],
) -> None:
    """Check that a network, its losses and metrics, and the data fit together.

    Args:
        module: A network of one's own, which is put into evaluation mode.
        layout: Where its tensors stand in a state.
        measures: Loss and metrics by name.
        tensors: The data, `train_x` and so on.

    Raises:
        ValueError: If they do not; the message says which.
    """
    module.eval()
    inputs, targets = tensors["train_x"][:2].clone(), tensors["train_y"][:2]
    before, fixed, version = layout.read(module), constants(module), inputs._version
    outputs = _tried(partial(_forward, module, inputs), inputs, targets)
    if inputs._version != version:
        raise ValueError(
            "evaluation must leave the data as they are, but this forward changes its inputs in "
            "place; leave out inplace=True where the network begins"
        )
    if not torch.equal(before, layout.read(module)):
        raise ValueError(
            "evaluation must not change a network, but this forward changes buffers in eval mode; "
            "update them in training mode only"
        )
    check_kept(fixed, constants(module), "evaluation")
    if measures["loss"] is cross_entropy and isinstance(outputs, torch.Tensor):
        _check_labels(outputs, tensors)
    again = _forward(module, inputs)
    if isinstance(outputs, torch.Tensor) and not _alike(outputs, again):
        raise ValueError(RANDOM)
    for name, measure in measures.items():
        values = _tried(partial(measure, outputs, targets), inputs, targets)
        repeated = measure(again, targets)
        if not _alike(values, repeated):
            raise ValueError(RANDOM)
        if tuple(values.shape) != (len(inputs),):
            raise ValueError(
                f"{name} must give one value for each example, ({len(inputs)},), but gives "
                f"{tuple(values.shape)}; use reduction='none'"
            )


def reason(error: BaseException, most: int = 200) -> str:
    """Write what an error says on one line.

    Args:
        error: The error.
        most: Number of characters that are kept.

    Returns:
        The line.
    """
    return " ".join(str(error).split())[:most]


def _alike(first: torch.Tensor, second: torch.Tensor) -> bool:
    return torch.allclose(first, second, rtol=1e-3, equal_nan=True)


def _tried(call: Callable[[], Any], inputs: torch.Tensor, targets: torch.Tensor) -> Any:
    try:
        return call()
    except (RuntimeError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(
            f"model, loss and metrics must take inputs {tuple(inputs.shape)} {inputs.dtype} and "
            f"targets {tuple(targets.shape)} {targets.dtype}, but fail: {reason(error)}; "
            "change the shapes or types of the data, or the model"
        ) from error


def _forward(module: nn.Module, inputs: torch.Tensor) -> Any:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(0)
        before = torch.default_generator.get_state()
        outputs = module(inputs)
        if not torch.equal(before, torch.default_generator.get_state()):
            raise ValueError(RANDOM)
    return outputs


def _check_labels(outputs: torch.Tensor, tensors: Mapping[str, torch.Tensor]) -> None:
    for name in ("train_y", "test_y"):
        labels, classes = tensors[name], outputs.shape[1] if outputs.ndim > 1 else 1
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
