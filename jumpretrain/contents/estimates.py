"""What is estimated anew at each scored state: running statistics, and spectral_norm's vectors.

Neither is learned. Both follow the weights in training, a step behind, and are stale after a jump
or between two states.
"""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.parametrize import ParametrizationList
from torch.nn.utils.spectral_norm import SpectralNorm

from jumpretrain.contents.layout import Layout

__all__ = [
    "estimated",
    "estimates_beyond_batchnorm",
    "has_vectors",
    "normalisers",
    "renew_vectors",
    "train_as_given",
    "with_vectors",
]

MIXED = 1e-3  # power iteration leaves vectors of length 1 up to rounding


def normalisers(module: nn.Module) -> list[_NormBase]:
    """List the BatchNorm and InstanceNorm layers with running statistics that nobody froze.

    Returns:
        The layers, in the module's order.
    """
    layers = [part for part in module.modules() if isinstance(part, _NormBase)]
    return [layer for layer in layers if layer.training and layer.track_running_stats]


def train_as_given(module: nn.Module) -> None:
    """Put a network into training mode, but for what its user keeps in evaluation mode.

    Of a network that is in training mode already these are the parts that are not, and what a
    `train` method of its own keeps; of others, normalising layers with frozen parameters.
    """
    if module.training:
        _train_own(module)
        return
    module.train()
    for part in module.modules():
        if isinstance(part, _NormBase) and part.affine and not part.weight.requires_grad:
            part.eval()


def _train_own(part: nn.Module) -> None:
    if part.training and type(part).train is not nn.Module.train:
        part.train()
        return
    for child in part.children():
        _train_own(child)


def has_vectors(module: nn.Module) -> bool:
    """Tell whether a network has `spectral_norm`, as a hook or as a parametrization.

    Returns:
        Whether it has.
    """
    return bool(_vector_names(module))


def estimated(module: nn.Module) -> bool:
    """Tell whether scores of a network depend on how statistics and vectors are found.

    Returns:
        Whether it has `normalisers` or `spectral_norm`.
    """
    return bool(normalisers(module)) or has_vectors(module)


def estimates_beyond_batchnorm(module: nn.Module) -> str:
    """Name what is estimated in a network that versions before 0.6.0 took from the state.

    Returns:
        Names; empty for most networks.
    """
    instance = any(isinstance(layer, _InstanceNorm) for layer in normalisers(module))
    names = {"InstanceNorm": instance, "spectral_norm": has_vectors(module)}
    return ", ".join(name for name, found in names.items() if found)


@torch.no_grad()
def renew_vectors(module: nn.Module, *_: Any) -> None:
    """Set the vectors of `spectral_norm` to the leading singular vectors of the weights.

    Power iteration converges to these; the sign of the pair does not matter. It can serve as a
    hook before a forward.
    """
    for part in module.modules():
        for hook in _hooks(part):
            matrix = hook.reshape_weight_to_matrix(getattr(part, f"{hook.name}_orig"))
            _set_vectors(matrix, *(getattr(part, f"{hook.name}_{key}") for key in "uv"))
        if isinstance(part, ParametrizationList):
            _renew_parametrized(part)


def with_vectors(module: nn.Module, layout: Layout, states: NDArray[Any]) -> NDArray[Any]:
    """Give states vectors from which power iteration can go on.

    A mixture of states has none: vectors of opposite sign cancel.

    Args:
        module: A network of one's own.
        layout: Of its states.
        states: States (K, S).

    Returns:
        The states; those with a vector that is not of length 1 have the leading singular vectors.
    """
    names = _vector_names(module)
    if not names:
        return states
    rows = torch.tensor(states)
    pieces = layout.split(rows)
    lengths = torch.stack([pieces[name].flatten(1).norm(dim=1) for name in names])
    for row in ((lengths - 1).abs() > MIXED).any(0).nonzero().flatten().tolist():
        layout.write(module, rows[row].to(next(module.parameters()).device))
        renew_vectors(module)
        rows[row] = layout.read(module).cpu()
    return rows.numpy()


def _vector_names(module: nn.Module) -> list[str]:
    names = []
    for name, part in module.named_modules():
        keys = [f"{hook.name}_{key}" for hook in _hooks(part) for key in "uv"]
        if isinstance(part, _SpectralNorm):
            keys += [key for key in ("_u", "_v") if key in part._buffers]
        names += [f"{name}.{key}".lstrip(".") for key in keys]
    return names


def _hooks(part: nn.Module) -> list[SpectralNorm]:
    return [hook for hook in part._forward_pre_hooks.values() if isinstance(hook, SpectralNorm)]


def _renew_parametrized(part: ParametrizationList) -> None:
    keys = ["original"] if part.is_tensor else [f"original{k}" for k in range(part.ntensors)]
    values = tuple(getattr(part, key) for key in keys)
    for step in part:
        if isinstance(step, _SpectralNorm) and "_u" in step._buffers:
            _set_vectors(step._reshape_weight_to_matrix(values[0]), step._u, step._v)
        values = (step(*values),)


def _set_vectors(matrix: torch.Tensor, u: torch.Tensor, v: torch.Tensor) -> None:
    """Write the leading singular vectors of a matrix, found in double precision.

    They are the eigenvector of the smaller of both products of the matrix with its transpose, and
    what the matrix makes of it.
    """
    wide = matrix.detach().double()
    wide = wide / wide.abs().max().clamp(min=torch.finfo(torch.float64).tiny)
    tall = len(wide) > wide.shape[1]
    square = wide.T @ wide if tall else wide @ wide.T
    first = torch.linalg.eigh(square).eigenvectors[:, -1]
    second = nn.functional.normalize(wide @ first if tall else wide.T @ first, dim=0)
    u.copy_(second if tall else first)
    v.copy_(first if tall else second)
