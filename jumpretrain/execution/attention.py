"""Which kernels compute attention: torch's choice is one for all threads, so one thread has it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

__all__ = ["AttentionSeen", "attention_by_formula", "attention_kernels"]

ALONE = threading.RLock()
ATTENTION = (functional.scaled_dot_product_attention, functional.multi_head_attention_forward)


class AttentionSeen(TorchFunctionMode):
    """Sees, while it is entered, whether attention is computed.

    Attributes:
        seen: Whether it was.
    """

    seen = False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        self.seen = self.seen or func in ATTENTION
        return func(*args, **(kwargs or {}))


@contextmanager
def attention_kernels(attends: bool) -> Iterator[None]:
    """Let a network that computes attention do so by torch's own choice of kernels.

    Other networks with attention wait meanwhile, so let no work be spread inside.

    Args:
        attends: Whether it does; the others need not wait.
    """
    with ALONE if attends else nullcontext():
        yield


@contextmanager
def attention_by_formula(attends: bool) -> Iterator[None]:
    """Let attention be computed by its formula, as vmap and second derivatives need it.

    Args:
        attends: Whether attention is known to be computed, so that other threads wait.
    """
    with attention_kernels(attends), sdpa_kernel(SDPBackend.MATH):
        yield
