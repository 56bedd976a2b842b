"""Networks as users hold them: in wrappers, with tensors that hooks compute, on any device."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim.swa_utils import AveragedModel

from jumpretrain.contents.layout import check_apart
from jumpretrain.networks.copying import copied, tensors_within
from jumpretrain.tasks.probing import reason

__all__ = ["check_device", "check_model", "own_copy", "unwrapped"]

REGISTERED = ("_parameters", "_buffers", "_modules", "_flat_weights")
WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)


def unwrapped(module: nn.Module) -> nn.Module:
    """Take a network, and its parts, out of what torch puts around them.

    That is `torch.compile`, DataParallel and averaging, which change names but no function.

    Returns:
        The network itself, or a copy where parts of it were wrapped.
    """
    bare = _inner(module)
    if any(_inner(part) is not part for part in bare.modules()):
        bare = own_copy(bare)
        for part in list(bare.modules()):
            for name, child in part.named_children():
                setattr(part, name, _inner(child))
    return bare


def _inner(module: nn.Module) -> nn.Module:
    inner = getattr(module, "module", None) if isinstance(module, WRAPPERS) else None
    inner = getattr(module, "_orig_mod", inner)
    return _inner(inner) if isinstance(inner, nn.Module) else module


def own_copy(module: nn.Module) -> nn.Module:
    """Copy a user's network with all that it holds.

    Returns:
        A network of one's own.

    Raises:
        ValueError: If the network cannot be copied, two of its tensors share memory or one is an
            attribute that is a view of another, which copies are not, or a parameter has a hook,
            which copies have not.
    """
    check_apart(module)
    hooked = [n for n, p in module.named_parameters() if _hooked(p)]
    if hooked:
        raise ValueError(
            f"hooks on parameters are not copied, but {hooked[0]} has one; take it away (remove() "
            "of its handle), and compute what it does in the forward or by a parametrization"
        )
    if isinstance(module, torch.jit.ScriptModule):
        raise ValueError("a ScriptModule cannot be trained in copies; pass the plain module")
    try:
        _check_views(module)
        return copied(module)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"a model must allow copy.deepcopy, but this one does not ({reason(error)}); "
            "clear what it keeps of a forward or pass a function that builds it"
        ) from error


def _check_views(module: nn.Module) -> None:
    """Check that no attribute shares memory with a parameter, but for what hooks compute anew.

    Raises:
        ValueError: If one does; the message names both.
    """
    parameters = {_place(p): name for name, p in module.named_parameters() if not is_lazy(p)}
    known = {id(tensor) for tensor in (*module.parameters(), *module.buffers())}
    for name, part in module.named_modules():
        for key, value in vars(part).items():
            hooked = any(tensor.startswith(f"{key}_") for tensor in part._parameters)
            if key in REGISTERED or hooked:
                continue
            views = [_place(t) for t in tensors_within(value) if id(t) not in known]
            owner = next((parameters[place] for place in views if place in parameters), None)
            if owner:
                raise ValueError(
                    "copies of a network must follow their own weights, but "
                    f"{f'{name}.{key}'.lstrip('.')} is a view of {owner}, which it would not be "
                    f"in copies; compute it from {owner} in the forward, and keep it in no "
                    "attribute"
                )


def _place(tensor: torch.Tensor) -> tuple[str, int]:
    dense = tensor.layout == torch.strided and tensor.numel() and not is_lazy(tensor)
    return str(tensor.device), tensor.untyped_storage().data_ptr() if dense else -id(tensor)


def _hooked(parameter: torch.Tensor) -> bool:
    found = parameter._backward_hooks, getattr(parameter, "_post_accumulate_grad_hooks", None)
    return any(map(bool, found))


def check_model(model: nn.Module | Callable[[], nn.Module]) -> None:
    """Refuse a network without values, and a function that cannot be called without arguments.

    Raises:
        TypeError: If the function takes arguments.
        ValueError: If tensors hold no values.
    """
    if isinstance(model, nn.Module):
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if is_lazy(tensor):
                raise ValueError(
                    f"a model must know its shapes, but {name} has none yet; run it once on an "
                    "input, or name its sizes"
                )
            if tensor.device.type == "meta":
                raise ValueError(
                    f"a model must hold values, but {name} is on the meta device; build it on "
                    "the CPU"
                )
        return
    try:
        inspect.signature(model).bind()
    except TypeError as error:
        raise TypeError(
            f"a function that builds a model takes no arguments, but this one does ({error}); "
            "pass lambda: ... with its arguments"
        ) from error
    except ValueError:  # built in, without a signature
        return


def check_device(device: str | torch.device) -> None:
    """Refuse a device on which nothing can be computed here.

    Raises:
        ValueError: If it is none.
    """
    try:
        found = torch.empty(1, device=device).device.type != "meta"
        why = "it holds no values"
    except Exception as error:  # torch raises RuntimeError, AssertionError, NotImplementedError
        found, why = False, reason(error, 100)
    if not found:
        raise ValueError(
            f"device must be one that torch can use here, but {str(device)!r} is not ({why}); "
            "pass 'cpu', or one that it has"
        )
