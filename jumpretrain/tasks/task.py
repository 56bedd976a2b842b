"""What a state is scored on: a network, data, a loss for each example, metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from jumpretrain.contents.constants import check_alike
from jumpretrain.contents.estimates import estimates_beyond_batchnorm, train_as_given
from jumpretrain.contents.hidden_state import check_generators
from jumpretrain.contents.layout import Layout
from jumpretrain.execution.arguments import checked
from jumpretrain.execution.arrays import unfrozen
from jumpretrain.execution.bounds import Seed
from jumpretrain.execution.settings import standard_settings
from jumpretrain.networks.copying import copied, packed, unpacked
from jumpretrain.networks.initialisation import check_repeats, fresh
from jumpretrain.networks.memory_order import suits_channels_last
from jumpretrain.tasks.data import Dataset
from jumpretrain.tasks.fingerprint import (
    as_entries,
    check_sent,
    describe_model,
    digest,
    name_of,
    training_values,
    values,
)
from jumpretrain.tasks.ingredients import Ingredients, ingredients
from jumpretrain.tasks.measures import (
    PerExample,
    accuracy,
    as_labels,
    check_objects,
    cross_entropy,
)
from jumpretrain.tasks.modules import check_device, check_model, own_copy, unwrapped
from jumpretrain.tasks.probing import Trial, probe
from jumpretrain.tasks.sources import StateLike, StatesLike, state_of, states_of

__all__ = ["Task", "digest"]

BATCH, BATCH_OF_IMAGES, CACHED = 2048, 256, 96  # measured: more images leave a CPU's cache
RESERVED = ("loss", "_stored", "_recalibrated")


@checked
@dataclass(frozen=True, eq=False)
class Task:
    """A network with what it is trained and scored on; checked by a probe when it is made.

    Attributes:
        model: A network, or a function without arguments that builds one with fresh weights.
            The network given is never changed, nor are later changes to it seen.
        data: Training and test examples.
        loss: Loss of each example: `loss(outputs, targets) -> (B,)`.
        metrics: More values for each example, by name; None means accuracy where the loss is
            cross-entropy and nothing otherwise.
        batchnorm: How BatchNorm is scored, and InstanceNorm with running statistics: with those
            re-estimated on the scored training examples (`"recalibrate"`), those of the state
            (`"stored"`), or each batch's. The vectors of `spectral_norm` are found anew at each
            state unless `"stored"`.
        device: Where to compute, such as `"cpu"` or `"cuda"`.
        scored: Number of training examples, drawn once, on which training metrics are scored.

    Raises:
        ValueError: If the model, the loss and the data do not fit together, or the forward pass
            is random in evaluation mode.

    Example:
        >>> import jumpretrain as jr
        >>> data = jr.data.digits()
        >>> task = jr.Task(lambda: jr.models.mlp((1, 8, 8), 10, hidden=(16,)), data)
        >>> task.weight_count
        1210
    """

    model: nn.Module | Callable[[], nn.Module]
    data: Dataset
    loss: PerExample = cross_entropy
    metrics: Mapping[str, PerExample] | None = None
    batchnorm: Literal["recalibrate", "stored", "batch"] = "recalibrate"
    device: str | torch.device = "cpu"
    scored: int = 2000
    layout: Layout = field(init=False, repr=False)
    trial: Trial = field(init=False, repr=False)
    made_of: Ingredients = field(init=False, repr=False)

    @standard_settings()
    def __post_init__(self) -> None:
        if self.scored < 1:
            raise ValueError(f"scored must be at least 1 example, but is {self.scored}")
        taken = [name for name in self.metrics or {} if name.endswith(RESERVED)]
        if taken:
            raise ValueError(f"{taken[0]!r} is a name of the program's own; rename that metric")
        check_objects(self.measures)
        object.__setattr__(self, "device", str(self.device))
        check_device(self.device)
        check_model(self.model)
        if isinstance(self.model, nn.Module):
            object.__setattr__(self, "model", self.template)
        else:
            check_repeats(self.template, unwrapped(fresh(self.model, 0)))
        object.__setattr__(self, "layout", Layout.of(self.template))
        first, tried = ingredients(self.template, self.measures), self.module()
        check_generators(first.generators)
        trial = probe(tried, self.layout, self.measures, self.tensors)
        object.__setattr__(self, "trial", trial)
        object.__setattr__(self, "made_of", first.unchanged(ingredients(tried, self.measures)))

    def __getstate__(self) -> dict[str, Any]:
        kept = {"fingerprint": self.fingerprint} | vars(self) | {"template": packed(self.template)}
        kept.pop("tensors", None)
        return kept | ({"model": None} if self.model is self.template else {})

    def __setstate__(self, kept: dict[str, Any]) -> None:
        template = unpacked(kept["template"])
        model = template if kept["model"] is None else kept["model"]
        self.__dict__.update(kept | {"template": template, "model": model, "sent": True})

    @property
    def weight_count(self) -> int:
        """Number P of weights."""
        return self.layout.weight_count

    @cached_property
    def template(self) -> nn.Module:
        """A private copy of the network; a factory's is the one of seed 0.

        Raises:
            ValueError: If the network cannot be copied.
        """
        if isinstance(self.model, nn.Module):
            return own_copy(unwrapped(self.model))
        return own_copy(self._fresh(0))

    def _fresh(self, seed: int) -> nn.Module:
        module = unwrapped(fresh(self.model, seed))
        check_model(module)
        return module

    @cached_property
    def measures(self) -> dict[str, PerExample]:
        """Loss and metrics by name."""
        classes = self.loss is cross_entropy
        default: Mapping[str, PerExample] = {"accuracy": accuracy} if classes else {}
        return {"loss": self.loss, **(default if self.metrics is None else self.metrics)}

    @cached_property
    def labelled(self) -> bool:
        """Whether the target of each example is one class."""
        classes = self.loss is cross_entropy or self.measures.get("accuracy") is accuracy
        targets = self.tensors["train_y"]
        whole = not (targets.is_floating_point() or targets.is_complex())
        return classes and whole and targets.ndim == 1 and targets.dtype != torch.bool

    @cached_property
    def convolutional(self) -> bool:
        """Whether the network has two-dimensional convolutions."""
        return any(isinstance(part, nn.Conv2d) for part in self.template.modules())

    @cached_property
    def _channels_last(self) -> bool:
        return suits_channels_last(self.template, self._tensor("train_x", self.data.train_x[:2]))

    def laid_out(self, x: torch.Tensor) -> torch.Tensor:
        """Put images for convolutions in the memory order in which they are fast.

        Returns:
            The same numbers.
        """
        if self._channels_last and x.ndim == 4:
            return x.contiguous(memory_format=torch.channels_last)
        return x

    @property
    def random(self) -> bool:
        """Whether a step of training draws random numbers."""
        return bool(self.trial.drawn)

    @cached_property
    def tensors(self) -> dict[str, torch.Tensor]:
        """The data on the device, with the scored training examples as `scored_x`, `scored_y`."""
        rng = np.random.default_rng((0, 0, 1))  # training draws from (seed, epoch)
        rows = np.sort(rng.permutation(len(self.data.train_x))[: self.scored])
        names = "train_x", "train_y", "test_x", "test_y"
        arrays = {name: getattr(self.data, name) for name in names}
        arrays |= {"scored_x": self.data.train_x[rows], "scored_y": self.data.train_y[rows]}
        tensors = {name: self._tensor(name, array) for name, array in arrays.items()}
        tensors |= {name: self.laid_out(tensors[name]) for name in ("scored_x", "test_x")}
        self.__dict__["tensors"] = tensors
        if self.__dict__.pop("sent", False):
            check_sent(self.fingerprint, self._measured())
        return tensors

    def batches(self, name: str) -> tuple[torch.Tensor, ...]:
        """Cut inputs or targets into batches of the size in which the network is scored.

        Returns:
            The tensor of that name, in parts of nearly equal length.
        """
        normal = any(isinstance(part, BatchNorm) for part in self.template.modules())
        images = BATCH_OF_IMAGES if normal or torch.device(self.device).type != "cpu" else CACHED
        size = images if self.convolutional else BATCH
        return self.tensors[name].tensor_split(-(-len(self.tensors[name]) // size))

    def _tensor(self, name: str, array: NDArray[Any]) -> torch.Tensor:
        if self.loss is cross_entropy and name.endswith("_y"):
            array = as_labels(array)
        writable = unfrozen(array)
        if array.dtype.kind in "ui" and array.dtype != np.int64:
            writable = writable.astype(np.int64)
        tensor = torch.as_tensor(writable, device=self.device)
        if not tensor.is_floating_point():
            return tensor
        cast = tensor.to(self.layout.dtype)
        lost = int((~cast.isfinite()).sum())
        if lost:
            raise ValueError(
                f"data must fit the network's type, but {lost} values of {name} are beyond "
                f"{self.layout.dtype}, up to {float(tensor.abs().max()):.3g}; scale them, or use "
                "a network in .double()"
            )
        return cast

    def module(self, state: StateLike | None = None) -> nn.Module:
        """Build a network of one's own, at a state or as the template is.

        Returns:
            A copy on the task's device, in training mode. Parts that the user put into evaluation
            mode stay there; where the whole model is, BatchNorm with frozen parameters does. A
            `train` method of the model's own is called.
        """
        module = copied(self.template).to(self.device)
        for part in module.modules():
            if isinstance(part, (nn.Embedding, nn.EmbeddingBag)):
                part.sparse = False  # the same gradients, for every optimiser and for vmap
        train_as_given(module)
        if self._channels_last:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if state is not None:
            row = self.state(state)
            self.layout.write(module, torch.as_tensor(row, device=self.device))
        return module

    @standard_settings()
    @checked
    def initial(self, seed: Seed) -> NDArray[Any]:
        """Draw a fresh initialisation.

        Returns:
            A state (S,) that depends on the seed alone.
        """
        module = self._fresh(seed)
        check_alike(self.template, module, f"the network of seed {seed}", "draw that only once")
        return self.layout.read(module).cpu().numpy()

    @standard_settings()
    def state(self, source: StateLike, name: str = "a state") -> NDArray[Any]:
        """Read the state of a network of this kind.

        Args:
            source: A network, a state dict, a file that holds one (safetensors, or what
                `torch.save` wrote, read with `weights_only=True`), a single run, or the state
                itself (S,), as an array or tensor of any real type.
            name: What messages call it.

        Returns:
            The state (S,) in the task's type.

        Raises:
            TypeError: If it is nothing of these.
            ValueError: If it is not finite or of another network, or the file cannot be read.
        """
        return state_of(self, source, name)

    def check_states(self, states: StatesLike) -> NDArray[Any]:
        """Read states of networks of this kind and check that they are finite.

        Args:
            states: States (K, S), runs, or a list in which each entry is what `state` takes.

        Returns:
            The states (K, S) in the task's type.

        Raises:
            TypeError: If they are nothing of these.
            ValueError: If they are not (K, S), or hold NaN or infinite values.
        """
        return states_of(self, states)

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """Short descriptions and hashes that tell this task from another."""
        arrays = (self.data.train_x, self.data.train_y, self.data.test_x, self.data.test_y)
        more = estimates_beyond_batchnorm(self.module())
        named = (f"{name}={name_of(function)}" for name, function in self.measures.items())
        return {
            "data": digest(*arrays),
            "history": " ".join(self.data.history),
            "augmentation": f"crop={self.data.crop} flip={self.data.flip}",
            "model": describe_model(self.layout, self.template),
            "measures": ", ".join(named),
            "batchnorm": self.batchnorm,
            "scored": str(self.scored),
            "device": str(self.device),
            **({"estimated": more} if more else {}),
            **self._measured(),
            **as_entries(self.made_of),
        }

    @standard_settings()
    def _measured(self) -> dict[str, Any]:
        inputs, targets = self.tensors["train_x"][:8], self.tensors["train_y"][:8]
        scored, several = (self.laid_out(inputs), targets), (inputs, targets)
        if len(inputs) == 1:  # too few for BatchNorm
            several = inputs.repeat_interleave(2, 0), targets.repeat_interleave(2, 0)
        training = partial(training_values, self.module(), self.layout, self.loss)
        return {
            "values": values(self.module(), self.layout, self.measures, scored),
            "training": training(several, self.random),
        }
