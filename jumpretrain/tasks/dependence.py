"""What scores may depend on: the state and the example itself, not what is kept or drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from jumpretrain.contents.constants import (
    attributes,
    attributes_unlike,
    constants,
    numbers,
    types,
)
from jumpretrain.contents.hidden_state import alike, read_tensors, write_tensors
from jumpretrain.contents.layout import Layout
from jumpretrain.execution.randomness import seeded, watched
from jumpretrain.networks.copying import copied
from jumpretrain.tasks.ingredients import walked
from jumpretrain.tasks.measures import PerExample

__all__ = [
    "RANDOM",
    "check_alone",
    "check_as_fresh",
    "check_follows",
    "check_modes",
    "check_unchanged",
    "check_used",
    "held",
    "remembers",
    "undrawn",
    "used_values",
]

RANDOM = (
    "evaluation must be deterministic, but the forward is random in evaluation mode; "
    "use nn.Dropout or test self.training"
)
SPREAD = 0.1  # of what is added to weights, since fresh ones may be zero
OF_ARRAYS, NUMBERS = ("[]finite", "[]values", " in numbers"), ("() ", "(1,) ")
FEW, LOOKED = 8, 64


def undrawn(function: Callable[..., Any], *arguments: Any, error: str = RANDOM) -> Any:
    """Call what may draw no random numbers.

    Args:
        function: What is called.
        arguments: What it is called with.
        error: What is said of one that does.

    Returns:
        What it gives.

    Raises:
        ValueError: If it draws some.
    """
    with torch.no_grad(), watched(0) as drawn:
        given = function(*arguments)
    if drawn:
        raise ValueError(error)
    return given


def held(module: nn.Module, before: Mapping[str, str] | None = None) -> dict[str, str]:
    """Describe what of a network is in no state and may not change.

    Args:
        module: The network.
        before: What was said of it.

    Returns:
        Short descriptions by name.
    """
    return constants(module, before) | numbers(module) | types(module)


def used_values(model: nn.Module, measures: Mapping[str, PerExample]) -> dict[str, str]:
    """Describe the values that calls of one's own code use, and must leave as they are.

    Attributes of the network are left out, which `held` describes; so are lengths (logs grow) and
    larger arrays that only the network uses (they may be activations).

    Args:
        model: The network.
        measures: Loss and metrics by name.

    Returns:
        Short descriptions by name.
    """
    found, parts = walked(model, measures).held, model.named_modules()
    kept = {f"model.{name}.{key}".replace("..", ".") for name, p in parts for key in vars(p)}

    def counts(path: str) -> bool:
        ending = next(filter(path.endswith, OF_ARRAYS), "")
        place = path.removesuffix(ending)
        if ending and path.startswith("model."):
            return found.get(f"{place}[]", "").startswith(NUMBERS)
        return not path.endswith("[]")

    return {n: text for n, text in found.items() if counts(n) and n.partition("[")[0] not in kept}


def check_used(
    before: Mapping[str, str], model: nn.Module, measures: Mapping[str, PerExample]
) -> None:
    """Check that calls left the values alone that they use: `before` is what `used_values` said.

    Raises:
        ValueError: If they did not; the message names a value.
    """
    after = used_values(model, measures)
    changed = [path for path, text in before.items() if after.get(path, text) != text]
    if changed:
        name = changed[0].removeprefix("model.").removesuffix(" in numbers").partition("[]")[0]
        raise ValueError(
            "equal calls must give equal results, but the network, loss or metrics change "
            f"{name}, which is in no state; let them keep nothing between calls, or hold it in a "
            "floating-point buffer of the network"
        )


def remembers(names: str) -> str:
    """Write the error of a network that keeps what its scores depend on.

    Returns:
        Its text.
    """
    return (
        "evaluation must follow from the state, but training changes more that it depends on: "
        f"{names or 'what it keeps beside its tensors'}; hold that in floating-point buffers of "
        "fixed shape"
    )


def check_as_fresh(
    module: nn.Module,
    fresh: nn.Module,
    loss: PerExample,
    examples: tuple[torch.Tensor, torch.Tensor],
) -> None:
    """Check that a network that was trained computes what a fresh one in its state does.

    Args:
        module: The network that was trained; its tensors stay.
        fresh: A network of the same kind in training mode, which is changed.
        loss: Loss of each example.
        examples: Inputs and targets (n, ...); some are taken.

    Raises:
        ValueError: If it does not; the message names what changed.
    """
    kept = attributes(fresh)
    write_tensors(fresh, read_tensors(module))
    rows = [*range(len(examples[0]))][:FEW] * 2  # one alone is too few for BatchNorm
    inputs, targets = (tensor[rows] for tensor in examples)
    pair = [_losses(network, loss, inputs, targets) for network in (module, fresh)]
    if not all(alike(one, two) for one, two in zip(*pair, strict=True)):
        raise ValueError(remembers(attributes_unlike(kept, module)))


def _losses(
    module: nn.Module, loss: PerExample, inputs: torch.Tensor, targets: torch.Tensor
) -> list[torch.Tensor]:
    start, modes = read_tensors(module), [(part, part.training) for part in module.modules()]
    with seeded(0), torch.no_grad():
        values = [loss(module(inputs.clone()), targets)]
        values.append(loss(module.eval()(inputs.clone()), targets))
    write_tensors(module, start)
    for part, training in modes:
        part.training = training
    return values


def check_alone(
    module: nn.Module,
    layout: Layout,
    measures: Mapping[str, PerExample],
    tensors: Mapping[str, torch.Tensor],
) -> None:
    """Check that what an example scores does not depend on its neighbours in a batch.

    Batches of two are compared that have their second example in common. Layers of BatchNorm
    without running statistics are meant to depend on the batch.

    Args:
        module: A network of one's own in evaluation mode.
        layout: Where its tensors stand in a state.
        measures: Loss and metrics by name.
        tensors: The data, `train_x` and so on.

    Raises:
        ValueError: If it does; the message names the measure.
    """
    inputs = tensors["train_x"]
    unlike = (inputs[:LOOKED] != inputs[-1:]).flatten(1).any(1) if inputs.ndim > 1 else ()
    others = [row for row, differs in enumerate(unlike) if differs]
    by_batch = any(isinstance(p, BatchNorm) and p.running_mean is None for p in module.modules())
    if by_batch or not others:
        return
    state, last = layout.read(module), len(inputs) - 1
    layout.write(module, _moved(state, layout))
    pair = [_scored(module, measures, tensors, [row, last]) for row in (others[0], last)]
    layout.write(module, state)
    for name in measures:
        one, two = (found[name] for found in pair)
        if not torch.allclose(one, two, rtol=1e-3, atol=1e-5, equal_nan=True):
            raise ValueError(
                f"each example must be scored by itself, but the {name} of one depends on its "
                "neighbours in the batch; let the first axis be that of examples, such as by "
                "batch_first=True, and compute nothing over it"
            )


def check_modes(module: nn.Module, layout: Layout) -> None:
    """Check that `train()` and `eval()` change modes alone, also where weights have moved.

    Args:
        module: A network in training mode, which stays as it is.
        layout: Where its tensors stand in a state.

    Raises:
        ValueError: If they change more; the message names it.
    """
    tried = copied(module)
    layout.write(tried, _moved(layout.read(tried), layout))
    moved = read_tensors(tried)
    names = _unlike(moved, read_tensors(tried.eval()))
    kept = held(tried)
    names += _unlike(moved, read_tensors(tried.train()))
    after = held(tried.eval())
    names += [name for name in kept if kept[name] != after.get(name, kept[name])]
    if names:
        raise ValueError(
            "train() and eval() must leave a network as it is, but those of this one change "
            f"{names[0]}; leave weights unmerged (loralib: merge_weights=False), and compute what "
            "follows from them in the forward"
        )


def check_follows(
    module: nn.Module,
    fresh: nn.Module,
    layout: Layout,
    measures: Mapping[str, PerExample],
    tensors: Mapping[str, torch.Tensor],
) -> None:
    """Check that scores follow from the state that was written, not from an earlier one.

    Args:
        module: A network in evaluation mode that was run; it keeps its state.
        fresh: A network of the same kind in evaluation mode that was not, which stays as it is.
        layout: Where its tensors stand in a state.
        measures: Loss and metrics by name.
        tensors: The data, `train_x` and so on.

    Raises:
        ValueError: If they do not; the message names what the network kept.
    """
    state, other, rows = layout.read(module), copied(fresh), [0, len(tensors["train_x"]) - 1]
    pair = []
    for network in (module, other):
        layout.write(network, _moved(state, layout))
        pair.append(_scored(network, measures, tensors, rows))
    layout.write(module, state)
    if not all(alike(pair[0][name], pair[1][name]) for name in measures):
        names = attributes_unlike(attributes(other), module)
        raise ValueError(
            "scores must follow from the state, but this network scores one by what an earlier "
            f"one left in {names or 'it'}; compute that anew in each forward"
        )


def check_unchanged(before: Mapping[str, torch.Tensor], module: nn.Module, layout: Layout) -> None:
    """Check that a forward in evaluation left a state alone.

    Args:
        before: What `read_tensors` gave.
        module: The network.
        layout: Where its tensors stand in a state.

    Raises:
        ValueError: If it did not; the message names what changed.
    """
    names = [name for name in _unlike(before, read_tensors(module)) if name in layout.names]
    if not names:
        return
    remedy = "update it in training mode only"
    if names[0] in dict(module.named_parameters()):
        remedy = "compute what is normalised in the forward, and give embeddings max_norm=None"
    raise ValueError(
        "evaluation must not change a network, but this forward changes "
        f"{names[0]} in eval mode; {remedy}"
    )


def _moved(state: torch.Tensor, layout: Layout) -> torch.Tensor:
    noise = np.random.default_rng(0).normal(0, SPREAD, layout.weight_count)
    moved = state.clone()
    moved[: layout.weight_count] += torch.as_tensor(noise, device=state.device)
    return moved


def _unlike(before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]) -> list[str]:
    return [
        name
        for name, tensor in before.items()
        if not torch.equal(tensor.nan_to_num(), after[name].nan_to_num())
    ]


def _scored(
    module: nn.Module,
    measures: Mapping[str, PerExample],
    tensors: Mapping[str, torch.Tensor],
    rows: list[int],
) -> dict[str, torch.Tensor]:
    inputs, targets = tensors["train_x"][rows], tensors["train_y"][rows]
    outputs = undrawn(module, inputs)
    return {name: undrawn(m, outputs, targets)[-1].double() for name, m in measures.items()}
