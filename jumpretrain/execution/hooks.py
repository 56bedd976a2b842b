"""What torch puts around every operation, module or optimiser: taken away, and put back."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch.nn.modules import module as modules
from torch.optim import optimizer as optimisers
from torch.utils import _python_dispatch as dispatch

__all__ = ["leave_hooks", "leave_modes"]

OF_MODULES = (
    "buffer_registration_hooks",
    "module_registration_hooks",
    "parameter_registration_hooks",
    "backward_pre_hooks",
    "backward_hooks",
    "forward_pre_hooks",
    "forward_hooks",
    "forward_hooks_always_called",
    "forward_hooks_with_kwargs",
)
OF_OPTIMISERS = ("optimizer_pre_hooks", "optimizer_post_hooks")


def leave_modes(before: ExitStack) -> None:
    """Take away what this thread puts around operations; `with torch.device(...)` is a mode.

    Args:
        before: Puts it back.

    Raises:
        ValueError: If a transform of `torch.func`, or a trace, is under way.
    """
    if torch._C._functorch.maybe_current_level() is not None or torch._C._is_tracing():
        raise ValueError(
            "a call stands by itself, but this one is made inside vmap, grad or another transform "
            "of torch, or inside jit.trace; make it outside, and hand its results in"
        )
    _leave_saving(before)
    for _ in range(torch._C._len_torch_function_stack()):
        before.callback(torch._C._push_on_torch_function_stack, _pop_function_mode())
    for _ in range(torch._C._len_torch_dispatch_stack()):
        before.callback(dispatch._push_mode, dispatch._pop_mode())


def _pop_function_mode() -> Any:
    return torch._C._pop_torch_function_stack()


def _leave_saving(before: ExitStack) -> None:
    """Take away hooks on saved tensors, such as those that keep them on the CPU."""
    hooks: Any = torch._C._autograd
    if not hasattr(hooks, "_top_saved_tensors_default_hooks"):  # torch 2.5
        return
    refusal = hooks._saved_tensors_hooks_get_disabled_error_message()
    if refusal is not None:  # a network may have such hooks of its own
        hooks._saved_tensors_hooks_enable()
        before.callback(hooks._saved_tensors_hooks_disable, refusal)
    while (pair := hooks._top_saved_tensors_default_hooks(False)) is not None:
        hooks._pop_saved_tensors_default_hooks()
        before.callback(hooks._push_saved_tensors_default_hooks, *pair)


def leave_hooks(before: ExitStack) -> None:
    """Take away hooks on all modules and on all optimisers; those of one module stay.

    Args:
        before: Puts them back, after such as came meanwhile.
    """
    for owner, names in ((modules, OF_MODULES), (optimisers, OF_OPTIMISERS)):
        for name in names:
            hooks: dict[int, Any] = getattr(owner, f"_global_{name}", {})
            if hooks:
                before.callback(_put_back, hooks, dict(hooks))
                hooks.clear()


def _put_back(hooks: dict[int, Any], found: dict[int, Any]) -> None:
    later = dict(hooks)
    hooks.clear()
    hooks.update(found | later)
