"""Try a network on two examples, so that what cannot work is refused before long work."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from jumpretrain.contents.constants import (
    attributes,
    attributes_unlike,
    check_kept,
    constants,
    to_one_type,
)
from jumpretrain.contents.estimates import train_as_given
from jumpretrain.contents.hidden_state import alike, read_tensors, why_unlike, write_tensors
from jumpretrain.contents.layout import Layout
from jumpretrain.execution.attention import AttentionSeen
from jumpretrain.execution.randomness import seeded, watched, widened
from jumpretrain.networks.copying import copied
from jumpretrain.tasks.dependence import (
    RANDOM,
    check_alone,
    check_follows,
    check_modes,
    check_unchanged,
    check_used,
    held,
    remembers,
    undrawn,
    used_values,
)
from jumpretrain.tasks.measures import (
    PerExample,
    check_each,
    check_labels,
    cross_entropy,
    squared_error,
)

__all__ = ["check_start", "probe", "reason"]

NO_GRADIENT = (
    "the loss must have a gradient, but none reaches the weights; compute it from the outputs by "
    "torch's functions, without detach, item or argmax"
)
DRAWS = (
    "evaluation must be deterministic, but {} draws random numbers; compute it from outputs and "
    "targets alone"
)
UNEQUAL = "equal outputs must be scored alike, but {} is not; let it keep nothing between calls"
PACKAGE = str(Path(__file__).parents[1])
SHAPES = (RuntimeError, TypeError, IndexError, AttributeError)
"""What torch raises where shapes and types do not fit, whose texts speak for themselves."""
LOOKS, SPREAD = 3, 0.1  # how often a loss is looked at, and how far from zero weights are drawn


class Trial(NamedTuple):
    """Which shared generators a step of training may draw from, and whether it attends."""

    drawn: frozenset[str]
    attends: bool


def probe(
    module: nn.Module,
    layout: Layout,
    measures: Mapping[str, PerExample],
    tensors: Mapping[str, torch.Tensor],
) -> Trial:
    """Check that a network, its losses and metrics, and the data fit in both modes.

    Args:
        module: A network of one's own in training mode, which is changed.
        layout: Where its tensors stand in a state.
        measures: Loss and metrics by name.
        tensors: The data, `train_x` and so on.

    Returns:
        What a step of training takes.

    Raises:
        ValueError: If they do not; the message says which.
    """
    rows = [0, len(tensors["train_x"][:2]) - 1]
    inputs, targets = tensors["train_x"][rows], tensors["train_y"][rows]
    training = [part for part in module.modules() if part.training]
    _tried(partial(check_modes, module, layout), inputs, targets)
    fresh, used = copied(module.eval()), used_values(module, measures)
    outputs = _probe_evaluation(module, layout, measures, inputs, targets)
    if measures["loss"] in (cross_entropy, squared_error):
        _check_one(outputs)
    if measures["loss"] is cross_entropy:
        check_labels(outputs, tensors)
    _check_measures(module, measures, outputs, inputs, targets, used)
    _tried(partial(check_alone, module, layout, measures, tensors), inputs, targets)
    follows = partial(check_follows, module, fresh, layout, measures, tensors)
    _tried(follows, inputs, targets)
    tests = tensors["test_x"][:2].clone(), tensors["test_y"][:2]
    _tried(partial(undrawn, _measured, module, measures, *tests), *tests, "the test examples")
    for part in training:
        part.training = True
    if module.training:
        train_as_given(module)  # for what its own method does beside
    trial = _probe_training(module, measures, outputs, (inputs, targets), used)
    _tried(follows, inputs, targets)  # after a step of training too
    return trial


def check_start(
    module: nn.Module,
    layout: Layout,
    loss: PerExample,
    inputs: torch.Tensor,
    targets: torch.Tensor,
) -> None:
    """Check that a loss has a gradient, and is finite: here, or at small random weights.

    Args:
        module: A network of one's own in training mode, which is changed.
        layout: Where its tensors stand in a state.
        loss: Loss of each example.
        inputs: Inputs (B, ...).
        targets: Targets (B, ...).

    Raises:
        ValueError: If it has none, or is finite at neither.
    """
    with seeded(0):
        first = loss(module(inputs.clone()), targets).mean()
        weights = [parameter for parameter in module.parameters() if parameter.requires_grad]
        found = first.requires_grad and torch.autograd.grad(first, weights, allow_unused=True)
    if not found or all(gradient is None for gradient in found):
        raise ValueError(NO_GRADIENT)
    rng, state = np.random.default_rng(0), layout.read(module)
    for _ in range(LOOKS):
        with seeded(0), torch.no_grad():
            values = loss(module(inputs.clone()), targets)
        if values.isfinite().all():
            return
        drawn = rng.normal(0, SPREAD, layout.weight_count)
        state[: layout.weight_count] = torch.as_tensor(drawn, device=state.device)
        layout.write(module, state)
    raise ValueError(
        f"the loss must be finite at the start, but is {float(values.mean())} on the first "
        "examples, also at other weights; change the loss, or the scale of the data"
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


def _probe_evaluation(
    module: nn.Module,
    layout: Layout,
    measures: Mapping[str, PerExample],
    inputs: torch.Tensor,
    targets: torch.Tensor,
) -> Any:
    given, before, fixed = inputs.clone(), read_tensors(module), constants(module)
    version = given._version
    outputs = _tried(partial(undrawn, module, given), inputs, targets, lead=to_one_type(module))
    if given._version != version:
        raise ValueError(
            "evaluation must leave the data as they are, but this forward changes its inputs in "
            "place; leave out inplace=True where the network begins"
        )
    check_unchanged(before, module, layout)
    check_kept(fixed, constants(module, fixed), "evaluation")
    return outputs


def _check_measures(
    module: nn.Module,
    measures: Mapping[str, PerExample],
    outputs: Any,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    used: Mapping[str, str],
) -> None:
    first, given, repeated = {}, deepcopy(outputs), deepcopy(outputs)  # losses may write there
    for name, measure in measures.items():
        call = partial(undrawn, measure, given, targets, error=DRAWS.format(name))
        first[name] = _tried(call, inputs, targets)
        check_each(name, first[name], len(inputs))
    check_used(used, module, measures)
    again = _tried(partial(undrawn, module, inputs.clone()), inputs, targets)
    if isinstance(outputs, torch.Tensor) and not alike(outputs, again):
        raise ValueError(RANDOM)
    for name, measure in measures.items():
        if not alike(first[name], undrawn(measure, repeated, targets)):
            raise ValueError(UNEQUAL.format(name))
        if not alike(first[name], undrawn(measure, again, targets)):
            raise ValueError(RANDOM)


def _check_one(outputs: Any) -> None:
    if not isinstance(outputs, torch.Tensor):
        raise ValueError(
            f"a model must give one tensor of outputs to this loss, but gives {_kind(outputs)}; "
            "let its forward return that tensor alone, or pass a loss that takes all"
        )


def _measured(
    module: nn.Module,
    measures: Mapping[str, PerExample],
    inputs: torch.Tensor,
    targets: torch.Tensor,
) -> list[torch.Tensor]:
    outputs = module(inputs)
    return [measure(outputs, targets) for measure in measures.values()]


def _probe_training(
    module: nn.Module,
    measures: Mapping[str, PerExample],
    evaluated: Any,
    batch: tuple[torch.Tensor, torch.Tensor],
    used: Mapping[str, str],
) -> Trial:
    """Take a gradient, as a step of training does, and the loss again.

    Returns:
        What that takes.

    Raises:
        ValueError: If it fails or does not repeat.
    """
    start, fixed, kept = read_tensors(module), held(module), attributes(module)
    loss = measures["loss"]
    with watched(0) as drawn:
        first = _training_loss(module, loss, evaluated, batch)
        if first.requires_grad:  # others can be scored, and training refuses them
            _tried(partial(torch.autograd.backward, first.mean()), *batch, "a step of training")
    check_kept(fixed, held(module, fixed), "training")
    _tried(partial(write_tensors, module, start), *batch, "a step of training")
    with seeded(0), AttentionSeen() as attention:
        second = _training_loss(module, loss, evaluated, batch)
    check_kept(fixed, held(module, fixed), "training")
    check_used(used, module, measures)
    if not alike(first, second):
        raise ValueError(why_unlike(module, start, batch[0]))
    write_tensors(module, start)
    again = undrawn(module.eval(), batch[0].clone())
    if isinstance(evaluated, torch.Tensor) and not alike(evaluated, again):
        raise ValueError(remembers(attributes_unlike(kept, module)))
    return Trial(widened(drawn), attention.seen)


def _training_loss(
    module: nn.Module, loss: PerExample, evaluated: Any, batch: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    inputs, targets = batch
    outputs = _tried(partial(module, inputs.clone()), inputs, targets, "a step of training")
    kinds = _kind(outputs), _kind(evaluated)
    try:
        values = loss(outputs, targets)
    except Exception as error:
        if kinds[0] == kinds[1]:
            _tried(partial(loss, outputs, targets), inputs, targets, "a step of training")
        raise ValueError(
            f"a network must give in training what it gives in evaluation, but gives {kinds[0]} "
            f"in training and {kinds[1]} in evaluation; leave out what the loss does not take, or "
            "pass a loss that takes both"
        ) from error
    check_each("loss", values, len(inputs))
    return values


def _kind(outputs: Any) -> str:
    if isinstance(outputs, torch.Tensor):
        return f"a tensor {tuple(outputs.shape)}"
    sized = f" of {len(outputs)}" if hasattr(outputs, "__len__") else ""
    return f"a {type(outputs).__name__}{sized}"


def _hint(inputs: torch.Tensor) -> str:
    if inputs.is_floating_point():
        return ""
    return ", such as x.real" if inputs.is_complex() else ", such as x.astype('float32')"


def _tried(
    call: Callable[[], Any],
    inputs: torch.Tensor,
    targets: torch.Tensor,
    where: str = "",
    lead: str = "",
) -> Any:
    try:
        return call()
    except Exception as error:  # a user's network fails in any way
        if isinstance(error, MemoryError) or _refused_here(error):
            raise
        kind = "" if isinstance(error, (*SHAPES, ValueError)) else f"{type(error).__name__}: "
        raise ValueError(
            f"model, loss and metrics must take inputs {tuple(inputs.shape)} {inputs.dtype} and "
            f"targets {tuple(targets.shape)} {targets.dtype}, but fail{where and f' in {where}'}: "
            f"{kind}{reason(error)}; {lead}change the shapes or types of the data{_hint(inputs)}, "
            "or the model"
        ) from error


def _refused_here(error: Exception) -> bool:
    """Tell a refusal of the program from what a network raised.

    Returns:
        Whether it is one.
    """
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, ValueError) and frames[-1].filename.startswith(PACKAGE)
