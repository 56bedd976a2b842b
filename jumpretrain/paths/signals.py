"""How much of its signal at the end each layer of a network holds along a path.

After the released code of arXiv:2210.01019.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from jumpretrain.engine.evaluate import measure
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.execution import Execution, spread
from jumpretrain.execution.settings import standard_settings
from jumpretrain.networks.copying import copied
from jumpretrain.paths.path import Path
from jumpretrain.states.curves import Curve, check_alphas
from jumpretrain.states.layers import weight_layers
from jumpretrain.tasks.task import Task

__all__ = ["Signals", "signals"]

BLOCK = 8
REMEDY = "pass names=[modules, from the input to the output]"


@dataclass(frozen=True, eq=False)
class Signals:
    """Signal of L layers at A alphas.

    Attributes:
        alphas: Where on the path (A,).
        layers: Names of the layers, in the order asked for.
        values: Signal of each layer at each alpha, in units of its outputs (A, L).
        scale: The signal at alpha 1, the root mean square of the centred outputs (L,).

    Raises:
        ValueError: If shapes disagree.
    """

    alphas: NDArray[np.float64]
    layers: tuple[str, ...]
    values: NDArray[np.float64]
    scale: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = len(self.alphas), len(self.layers)
        if np.shape(self.values) != shape or np.shape(self.scale) != shape[1:]:
            raise ValueError(
                f"values must be {shape} and scale {shape[1:]}, but are {np.shape(self.values)} "
                f"and {np.shape(self.scale)}"
            )

    @property
    def relative(self) -> NDArray[np.float64]:
        """Share of its signal at the end that each layer holds (A, L); NaN where it has none."""
        nothing = np.full(self.values.shape, np.nan)
        held = np.divide(self.values, self.scale, out=nothing, where=self.scale > 0)
        return np.asarray(held)


@checked
@standard_settings()
def signals(
    task: Task,
    path: Path,
    alphas: int | ArrayLike | None = None,
    names: Sequence[str] | None = None,
    split: str = "train",
    execution: Execution | None = None,
) -> Signals:
    """Measure how much signal reaches each layer along a path.

    With the outputs h of a layer, centred over the examples, the signal is the mean inner product
    of h at alpha and at 1 over the root mean square of h at 1 (arXiv:2210.01019, released code).
    Two copies of the network, at alpha and at 1, see the examples batch by batch, so that no
    outputs are kept. BatchNorm follows the task's policy.

    Args:
        task: The task of the path.
        path: A path with its states, from `interpolate`.
        alphas: Where to measure, or how many points; the path's where left out.
        names: Modules whose outputs are taken; where the network is sequential and they are left
            out, its linear and convolutional layers from the input to the output.
        split: Whose examples, `"train"` (the scored ones) or `"test"`.
        execution: Where to compute.

    Returns:
        The signals.

    Raises:
        ValueError: If the path has no states, a name or the split is unknown, or the order of
            layers is not known.

    Example:
        >>> import jumpretrain as jr
        >>> task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(8,)), jr.data.digits())
        >>> path = jr.interpolate(task, task.initial(0), task.initial(1), alphas=3)
        >>> signals(task, path).values.shape
        (3, 2)
    """
    if path.curve is None:
        raise ValueError("signals need a path with its states; interpolate one")
    if split not in ("train", "test"):
        raise ValueError(f"split must be train or test, but is {split!r}")
    shares = check_alphas(path.alphas if alphas is None else alphas)
    layers = tuple(weight_layers(task.template, REMEDY) if names is None else names)
    twice = sorted({name for name in layers if layers.count(name) > 1})
    if twice:
        raise ValueError(
            f"signals need layers that an input passes once, but it passes {', '.join(twice)} "
            "again; pass names= without them"
        )
    pair = _paired(task, layers, split)
    blocks = np.array_split(np.append(shares, 1.0), -(-(len(shares) + 1) // BLOCK))
    jobs = [(task, pair, path.curve, block, split, layers) for block in blocks]
    products = np.concatenate(spread(_products, jobs, execution or Execution()))
    scale = np.sqrt(np.maximum(products[-1], 0))
    values = np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)
    return Signals(shares, layers, values[:-1], scale)


class _Pair(nn.Module):
    """Two copies of a network; what comes out are products of their outputs at some modules."""

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.moving, self.still = copied(network), copied(network)
        self.names = tuple(names)
        self.training = network.training

    def forward(self, x: torch.Tensor) -> dict[str, tuple[torch.Tensor, ...]]:
        """Multiply the outputs of both copies.

        Returns:
            For each module the sum over the examples of inner products (), and of both outputs
            (d,).
        """
        still: dict[str, torch.Tensor] = {}
        products: dict[str, tuple[torch.Tensor, ...]] = {}

        def keep(name: str, output: torch.Tensor) -> None:
            still[name] = output.clone()

        def multiply(name: str, output: torch.Tensor) -> None:
            pair = output.double(), still.pop(name).double()
            products[name] = ((pair[0] * pair[1]).sum(), pair[0].sum(0), pair[1].sum(0))

        _listen(self.still, self.names, x, keep)
        _listen(self.moving, self.names, x, multiply)
        return products


def _listen(
    network: nn.Module,
    names: Sequence[str],
    x: torch.Tensor,
    note: Callable[[str, torch.Tensor], None],
) -> None:
    """Run a network and note the outputs (B, d) of some modules, as each comes.

    Raises:
        TypeError: If a module does not give one tensor with a row for each example.
    """
    heard = []

    def hear(name: str, _: nn.Module, __: Any, output: Any) -> None:
        if not isinstance(output, torch.Tensor) or len(output) != len(x) or name in heard:
            raise TypeError(f"{name!r} does not give one tensor (B, ...) once")
        heard.append(name)
        note(name, output.reshape(len(output), -1))

    parts = dict(network.named_modules())
    hooks = [parts[name].register_forward_hook(partial(hear, name)) for name in names]
    try:
        network(x)
    finally:
        for hook in hooks:
            hook.remove()
    if len(heard) < len(names):
        raise TypeError(f"{next(n for n in names if n not in heard)!r} is never used")


def _paired(task: Task, names: Sequence[str], split: str) -> Task:
    """Make the task whose outputs are the products; the other split is not needed.

    Returns:
        A task on the same training examples.

    Raises:
        ValueError: If a name is no module, or its output is no tensor.
    """
    parts = [name for name, _ in task.template.named_modules()]
    unknown = [name for name in names if name not in parts]
    if unknown or not names:
        raise ValueError(
            f"names must be modules of the network, but {unknown} are none; it has "
            f"{', '.join(filter(None, parts))}"
        )
    data = task.data
    if split == "train":
        data = replace(data, test_x=data.test_x[:2], test_y=data.test_y[:2])
    pair = _Pair(task.template, names)
    return replace(task, model=pair, data=data, loss=_nothing, metrics={})


def _nothing(_: Any, targets: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(targets), device=targets.device)


def _products(
    task: Task,
    pair: Task,
    curve: Curve,
    alphas: NDArray[np.float64],
    split: str,
    layers: Sequence[str],
) -> NDArray[np.float64]:
    """Average the centred products over the examples.

    Returns:
        For each alpha and layer the mean inner product with the outputs at 1 (K, L).
    """
    sums: dict[tuple[int, str], list[torch.Tensor]] = {}
    wanted = "scored" if split == "train" else split

    def watch(row: int, seen: str, products: Any, targets: torch.Tensor) -> None:
        if seen == wanted:
            for name, terms in products.items():
                before = sums.get((row, name), [torch.zeros(())] * 3)
                sums[row, name] = [a + b for a, b in zip(before, terms, strict=True)]

    measure(pair, _states(task, pair, curve, alphas), watch=watch)
    count = len(task.tensors[f"{wanted}_y"])
    means = [
        [[term / count for term in sums[row, n]] for n in layers] for row in range(len(alphas))
    ]
    return np.array([[float(inner - a @ b) for inner, a, b in row] for row in means])


def _states(task: Task, pair: Task, curve: Curve, alphas: NDArray[np.float64]) -> NDArray[Any]:
    """Put the states at alpha and at 1 side by side, in the order of the pair's tensors.

    Returns:
        States (K, 2 S).
    """
    moving = task.layout.split(torch.as_tensor(curve.at(alphas)))
    still = task.layout.split(torch.as_tensor(curve.at(np.ones(len(alphas)))))
    both = {f"moving.{n}": t for n, t in moving.items()}
    both |= {f"still.{n}": t for n, t in still.items()}
    rows = [both[name].reshape(len(alphas), -1) for name in pair.layout.names]
    return torch.cat(rows, dim=1).numpy()
