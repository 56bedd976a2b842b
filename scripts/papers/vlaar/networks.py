"""Residual networks on small CIFAR-10 images and their linear paths, for arXiv:2106.16004.

The paper's ResNet-18 on CIFAR-10 at laptop size: a pre-activation ResNet of three blocks on 1,000
images of 16x16 pixels, 40 epochs. Paths are scored with the states' own BatchNorm statistics,
interpolated as all else (`stored`), and with statistics re-estimated at each state
(`recalibrate`); the paper's curves start above log 10 and are flat at it, as only the former do.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from evidence import cells, panels
from evidence.cells import shared, trained
from evidence.figure import Flags, device
from evidence.judging import tally
from evidence.rows import Rows
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

import jumpretrain as jr
from jumpretrain.states.curves import Curve
from jumpretrain.storage import folders
from jumpretrain.tasks.task import digest

Policy = Literal["stored", "recalibrate"]
POLICIES: tuple[Policy, ...] = ("stored", "recalibrate")
DECAY = 1e-2
"""Weight decay of the standard network: in a trial its path was a plateau with a late cliff, as
the paper's with 5e-4, whose training is far longer."""
STAGES = {"stem": "0", "B1": "1", "B2": "2", "B3": ("3", "4"), "fc": "8"}
"""Modules of the stages; the last block takes the final BatchNorm with it."""
KINDS = ("running_minimum", "above_ends", "above_chord")
BARRIER = KINDS[0]
"""The largest rise of the test loss above what was reached before, into the trained end too."""
CHANCE = np.log(10)
EXAMPLES, OTHERS, SHOWN = 1000, 4000, 500


@dataclass(frozen=True)
class Network:
    """The states where training began and ended (S,), and accuracies: `train` of those scored."""

    start: NDArray[Any]
    end: NDArray[Any]
    accuracy: float
    recalibrated: float
    train_accuracy: float


def images(quick: bool) -> dict[str, jr.Dataset]:
    """Load CIFAR-10 as `base`, what networks are pre-trained on, and variants; or small digits."""
    base, other, fashion = _digits() if quick else (*_cifar(), _fashion())
    return {
        "base": base,
        "other images": other,
        "Fashion-MNIST": fashion,
        "random labels": base.corrupt(1.0),
        "half": base.subset(train=len(base.train_x) // 2),
        "augmented": base.augment(crop=1 if quick else 2),
    }


def _digits() -> tuple[jr.Dataset, jr.Dataset, jr.Dataset]:
    data = jr.data.digits().subset(120, 50)
    data = replace(data, train_x=_halved(data.train_x), test_x=_halved(data.test_x))
    base = replace(data, train_x=data.train_x[:60], train_y=data.train_y[:60])
    other = replace(data, train_x=data.train_x[60:], train_y=data.train_y[60:])
    return base, other, replace(other, train_x=other.train_x.swapaxes(2, 3))


def _cifar() -> Iterator[jr.Dataset]:
    """Draw two sets of training images without overlap; both have 4,000 test images."""
    whole = jr.data.load("cifar10")
    rows = np.random.default_rng(0).permutation(len(whole.train_x))[: EXAMPLES + OTHERS]
    test = _halved(whole.test_x[:OTHERS]), whole.test_y[:OTHERS]
    for name, some in (("base", rows[:EXAMPLES]), ("others", rows[EXAMPLES:])):
        history = (*whole.history, "2x2 means", f"{len(some)} images, {name}")
        train = _halved(whole.train_x[some]), whole.train_y[some]
        yield jr.Dataset(*train, *test, history=history)


def _fashion() -> jr.Dataset:
    chosen = jr.data.load("fashion_mnist").subset(OTHERS, SHOWN)
    edges = (0, 0), (0, 0), (2, 2), (2, 2)
    padded = (np.pad(x, edges) for x in (chosen.train_x, chosen.test_x))
    train, test = (_halved(x).repeat(3, axis=1) for x in padded)
    history = (*chosen.history, "padded to 32x32", "2x2 means", "3 channels")
    return jr.Dataset(train, chosen.train_y, test, chosen.test_y, history=history)


def _halved(x: NDArray[Any]) -> NDArray[Any]:
    n, channels, height, width = x.shape
    return x.reshape(n, channels, height // 2, 2, width // 2, 2).mean((3, 5))


@lru_cache(maxsize=8)
def task(data: jr.Dataset, policy: Policy = "stored", most: int | None = None) -> jr.Task:
    """Set the residual network to some data, scored on so many test images."""
    data = replace(data, test_x=data.test_x[:most], test_y=data.test_y[:most])
    build = partial(jr.models.wide_resnet, data.train_x.shape[1:], 10)
    return jr.Task(build, data, batchnorm=policy, device=device(), scored=250)


def recipe(quick: bool, weight_decay: float, epochs: int = 40) -> jr.Recipe:
    """Give the recipe of all networks: SGD whose rate falls twice, each time by ten."""
    steps: dict[str, Any] = {"schedule": "steps", "milestones": (1 / 3, 2 / 3)}
    return cells.recipe(6 if quick else epochs, 0.05, 64, weight_decay=weight_decay, **steps)


def seeds(asked: Flags) -> range:
    return range(2 if asked.quick else 5)


def network(
    asked: Flags,
    data: jr.Dataset,
    name: str,
    seed: int,
    weight_decay: float,
    start: NDArray[Any] | None = None,
    epochs: int = 40,
) -> Network:
    """Train one network, or read it; all scripts on this paper share what is kept."""
    states = None if start is None else start[None]
    way = recipe(asked.quick, weight_decay, epochs)
    fit = trained(shared(asked), f"{name}/{seed}", task(data), way, [seed], states, jobs=1)
    measures = "test_accuracy", "test_accuracy_recalibrated", "train_accuracy"
    reached = (float(fit.metrics[measure][0, -1]) for measure in measures)
    return Network(fit.initial[0], fit.final[0], *reached)


def standard(asked: Flags, data: jr.Dataset, weight_decay: float, seed: int) -> Network:
    """Train one network from fresh weights."""
    return network(asked, data, f"standard-{weight_decay:g}", seed, weight_decay)


def path(
    asked: Flags, data: jr.Dataset, name: str, *ends: Any, policy: Policy = "stored", **line: Any
) -> jr.Path:
    """Score the line between two states on the first 500 test images, as `kept_path` does."""
    return kept_path(asked, task(data, policy, SHOWN), name, *ends, **line)


def kept_path(
    asked: Flags,
    made: jr.Task,
    name: str,
    start: NDArray[Any],
    end: NDArray[Any],
    select: str | Sequence[str] | None = None,
    alphas: ArrayLike | None = None,
) -> jr.Path:
    """Score the line between two states (S,), or some modules' alone, or read what was kept."""
    file = shared(asked).work / "paths" / f"{name}-{made.batchnorm}.safetensors"
    places = (5 if asked.quick else 51) if alphas is None else np.asarray(alphas).tolist()
    moved = "everything" if select is None else list(np.atleast_1d(select))
    ends = [digest(start), digest(end)]
    facts = {"task": made.fingerprint, "ends": ends, "select": moved, "alphas": places}
    if not file.exists() or folders.read_arrays(file)[1] != facts:
        found = jr.interpolate(made, start, end, places, select)
        arrays = {f"metrics.{key}": values for key, values in found.metrics.items()}
        folders.write_arrays(file, {"alphas": found.alphas} | arrays, facts)
    arrays = folders.read_arrays(file)[0]
    metrics = {key[8:]: values for key, values in arrays.items() if key.startswith("metrics.")}
    line = Curve(start, end, np.ones(len(start), np.uint8)) if select is None else None
    return jr.Path(arrays["alphas"], metrics, curve=line)


def facts(found: jr.Path) -> dict[str, Any]:
    """Read off a path what is judged and drawn, losses in nats.

    `half` is the alpha from which on the training loss stays below half of its way down, 1 where
    it is not lower at the end; `excess` is the mean of the test loss above its last value.
    """
    half = found.plateau("train").half
    losses = found.values("test_loss")
    return {
        "test_loss": losses.round(5),
        "barrier": {kind: found.barrier(kind, "test_loss") for kind in KINDS},
        "train_rise": found.monotonicity("train_loss").min_delta,
        "half": 1.0 if np.isnan(half) else half,
        "excess": float((losses - losses[-1]).mean()),
    }


def tabled(rows: Rows) -> pd.DataFrame:
    """Lay rows out with columns such as `stored.half` and `stored.above_ends`."""
    return pd.json_normalize(rows).rename(columns=lambda name: name.replace("barrier.", ""))


def curves(ax: Axes, losses: ArrayLike, colour: Any, label: str, **style: Any) -> None:
    """Draw the losses of networks along their paths (n, A)."""
    losses = np.asarray(losses)
    alphas = np.linspace(0, 1, losses.shape[1])
    panels.lines(ax, alphas, losses, colour, label, thin=0.5, **{"lw": 2.2} | style)


def framed(figure: Figure, finding: str, note: str, claims: Rows, size: float = 11) -> Figure:
    """Write the finding above a figure, and how it was made and the count of verdicts below."""
    figure.suptitle(finding, fontsize=size)
    figure.supxlabel(f"{note}; {tally(claims)}", fontsize=8)
    return figure


def describe(data: Mapping[str, jr.Dataset]) -> str:
    """Say on what the networks were trained."""
    base = data["base"]
    name = base.history[0].partition("(")[0].strip().replace("cifar10", "CIFAR-10")
    (count, _, height, width), tested = base.train_x.shape, len(base.test_x)
    return (
        f"pre-activation ResNet, 3 blocks, {count:,} {name} images {height}x{width}, test loss on "
        f"{min(SHOWN, tested)}, accuracy on {tested:,} test images"
    )
