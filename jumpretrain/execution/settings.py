"""Settings of torch, NumPy and Python on which numbers depend: the same in every call."""

from __future__ import annotations

import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch.nn.utils import parametrize

from jumpretrain.execution.hooks import leave_hooks, leave_modes
from jumpretrain.execution.threads import libraries

__all__ = ["standard_settings"]

SKLEARN = {"assume_finite": False, "working_memory": 1024, "transform_output": "default"}
Enter = Callable[[ExitStack], None]
FALLBACK = re.compile("There is a performance drop because we have not yet implemented the batch")


@contextmanager
def standard_settings() -> Iterator[None]:
    """Compute on one thread under the settings that a fresh process has, then put back the user's.

    Gradients are on; autocast, anomaly detection, modes, and hooks on saved tensors, on all
    modules and on all optimisers are off; default type and device are float32 and the CPU. Two
    settings are not those of a fresh process: on a GPU convolutions keep whole float32 numbers
    (torch's own choice is TF32, 10 bits) and take repeatable kernels. Warnings that the user made
    errors are shown as warnings. What a network sets in its own forward counts as ever.

    Some settings belong to a thread, others to the process: of several threads, the first one in
    sets these, and the last one out puts them back. No lock is held meanwhile.

    Raises:
        ValueError: If a transform of `torch.func` is under way, which no call can leave.
    """
    with _THREAD.settings, _PROCESS:
        yield


class _Counted:
    """Settings that several callers hold: the first one in sets them, the last puts them back."""

    def __init__(self, kind: Literal["blas", "openmp"], enter: Enter) -> None:
        self.kind, self.enter = kind, enter
        self.lock, self.before = threading.Lock(), ExitStack()
        self.depth = self.loaded = 0

    def __enter__(self) -> None:
        with self.lock:
            if not self.depth:
                with ExitStack() as before:
                    self.enter(before)
                    self._limit(before)
                    self.before = before.pop_all()
            elif self.loaded != len(sys.modules):  # new libraries have threads of their own
                self._limit(self.before)
            self.depth += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.depth -= 1
            if not self.depth:
                self.before.close()

    def _limit(self, before: ExitStack) -> None:
        before.enter_context(libraries(self.kind).limit(limits=1))
        self.loaded = len(sys.modules)


def _put(
    before: ExitStack, read: Callable[[], Any], write: Callable[[Any], Any], value: Any
) -> None:
    """Set one thing and remember how it was."""
    found = read()
    if found != value:
        write(value)

    def back() -> None:
        if read() != found:
            write(found)

    before.callback(back)


def _put_attribute(before: ExitStack, owner: Any, name: str, value: Any) -> None:
    if hasattr(owner, name):  # not every version of torch has each
        _put(before, partial(getattr, owner, name), partial(setattr, owner, name), value)


def _enter_thread(before: ExitStack) -> None:
    """Set what every thread has for itself."""
    _THREAD.number = _number_of_threads()
    if torch.is_inference_mode_enabled():
        before.enter_context(torch.inference_mode(False))
    _put(before, torch.is_grad_enabled, torch.set_grad_enabled, True)
    _leave_autocast(before)
    _put(before, _flushes, torch.set_flush_denormal, False)
    if "sklearn" in sys.modules:
        before.enter_context(sys.modules["sklearn"].config_context(**SKLEARN))
    before.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
    leave_modes(before)


def _number_of_threads() -> int:
    """Read this thread's number of threads as it was before others set the process's to 1.

    Returns:
        What torch and OpenMP have in this thread.
    """
    number = torch.get_num_threads()  # a new thread takes the process's
    if not _PROCESS.depth or number != 1:
        return number
    for library in libraries("openmp").lib_controllers:
        if library.num_threads == 1:
            library.set_num_threads(_PROCESS.number)
    return _PROCESS.number


def _leave_autocast(before: ExitStack) -> None:
    """Leave every autocast, so that casts which a network's own keeps are dropped at its end."""
    for device, dtype in (("cpu", torch.bfloat16), ("cuda", torch.float16)):
        reads = (
            partial(torch.is_autocast_enabled, device),
            partial(torch.get_autocast_dtype, device),
        )
        _put(before, reads[0], partial(torch.set_autocast_enabled, device), False)
        _put(before, reads[1], partial(torch.set_autocast_dtype, device), dtype)
    _put(before, torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled, True)
    depth = torch.autocast_increment_nesting() - 1
    for _ in range(depth + 1):
        torch.autocast_decrement_nesting()
    for _ in range(depth):
        before.callback(torch.autocast_increment_nesting)
    if depth:
        torch.clear_autocast_cache()


def _flushes() -> bool:
    """Tell whether this thread takes numbers near zero for zero.

    Returns:
        Whether it does.
    """
    return not np.float32(1e-40) * np.float32(1)


def _enter_process(before: ExitStack) -> None:
    """Set what all threads share."""
    _PROCESS.number = _THREAD.number
    torch.set_num_threads(1)
    before.callback(torch.set_num_threads, _PROCESS.number)
    _put(before, torch.get_default_dtype, torch.set_default_dtype, torch.float32)
    _put(before, torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode, 0)
    _put(before, _anomaly, lambda both: torch.set_anomaly_enabled(*both), (False, True))
    _put_attribute(before, parametrize, "_cache_enabled", 0)
    leave_hooks(before)
    _set_conversion(before)
    _set_kernels(before)
    _set_precision(before)
    _show_warnings(before)


def _anomaly() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def _set_conversion(before: ExitStack) -> None:
    """Convert networks in place, where others may still refer to their tensors."""
    for kind in ("overwrite", "swap"):
        words = f"{kind}_module_params_on_conversion"
        read, write = (getattr(torch.__future__, f"{act}_{words}") for act in ("get", "set"))
        _put(before, read, write, False)


def _set_kernels(before: ExitStack) -> None:
    backends, cuda, private = torch.backends, torch.backends.cuda, torch._C
    for kernel in ("flash", "mem_efficient", "math", "cudnn"):
        enable = getattr(cuda, f"enable_{kernel}_sdp")
        _put(before, getattr(cuda, f"{kernel}_sdp_enabled"), enable, True)
    _put(before, backends.mha.get_fastpath_enabled, backends.mha.set_fastpath_enabled, True)
    _put(before, private._get_nnpack_enabled, backends.nnpack.set_flags, True)
    for owner, name, value in (
        (backends.mkldnn, "enabled", True),
        (backends.mkldnn, "deterministic", False),
        (backends.cudnn, "enabled", True),
        (backends.cudnn, "benchmark", False),
        (backends.cudnn, "deterministic", True),
        (backends.opt_einsum, "enabled", backends.opt_einsum.is_available()),
        (backends.opt_einsum, "strategy", "auto" if backends.opt_einsum.is_available() else None),
    ):
        _put_attribute(before, owner, name, value)


def _set_precision(before: ExitStack) -> None:
    """Compute with whole float32 numbers.

    Where "none" was said, torch reads what was said of the level above; hence from the top.
    """
    backends = torch.backends
    matmul, cudnn, mkldnn = backends.cuda.matmul, backends.cudnn, backends.mkldnn
    if not hasattr(backends, "fp32_precision"):  # before torch 2.9
        _put_attribute(before, cudnn, "allow_tf32", False)
    for level in (backends, cudnn, mkldnn, matmul):
        _put_attribute(before, level, "fp32_precision", "none")
    for kind in ("matmul", "conv", "rnn"):
        _put_attribute(before, getattr(mkldnn, kind, None), "fp32_precision", "none")
    for kind in ("conv", "rnn"):
        _put_attribute(before, getattr(cudnn, kind, None), "fp32_precision", "ieee")
    read, write = torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    _put(before, read, write, "highest")
    for part in (matmul, getattr(mkldnn, "matmul", None)):  # which the older word has set as well
        _put_attribute(before, part, "fp32_precision", "none")


def _show_warnings(before: ExitStack) -> None:
    """Show warnings that were to be errors: a network that warns would stop half-way.

    That vmap goes through networks one by one is not told: it only takes longer.
    """
    given = warnings.filters
    shown = [
        ("default", *rest) if action == "error" else (action, *rest) for action, *rest in given
    ]
    ours = [("ignore", FALLBACK, UserWarning, None, 0), *shown]

    def back() -> None:
        if warnings.filters is ours:
            warnings.filters = given
            _forget_warnings()

    warnings.filters = ours  # type: ignore[assignment]
    _forget_warnings()
    before.callback(back)


def _forget_warnings() -> None:
    with warnings.catch_warnings():  # tells Python that filters have changed
        pass


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.settings, self.number = _Counted("openmp", _enter_thread), 1


class _OfProcess(_Counted):
    number = 1  # of threads, before the first one came in


_PROCESS = _OfProcess("blas", _enter_process)
_THREAD = _OfThread()
