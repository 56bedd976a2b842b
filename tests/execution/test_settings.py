"""Whatever a user has set around a call, its numbers are the same, and so is the setting after."""

import contextlib
import inspect
import warnings
from contextlib import ExitStack, contextmanager
from functools import partial

import numpy as np
import pytest
import sklearn
import torch
from threadpoolctl import threadpool_info, threadpool_limits
from torch import nn
from torch.nn.modules import module as modules
from torch.nn.utils import parametrize
from torch.optim import optimizer as optimisers
from torch.overrides import TorchFunctionMode
from torch.utils import _python_dispatch as dispatch

import jumpretrain as jr
from jumpretrain.execution.settings import standard_settings

BACKENDS = torch.backends
QUIET = jr.Execution(progress=False)


@contextmanager
def put(read, write, value):
    before = read()
    write(value)
    try:
        yield
    finally:
        write(before)


def attribute(owner, name, value):
    return put(partial(getattr, owner, name), partial(setattr, owner, name), value)


def anomaly():
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def flushes():
    return bool(np.float32(1e-40) * np.float32(1) == 0)


def hooks():
    return torch._C._autograd._top_saved_tensors_default_hooks(False)


def einsum():
    return BACKENDS.opt_einsum.enabled, BACKENDS.opt_einsum.strategy


def every_hook(owner):
    names = [name for name in vars(owner) if name.startswith("_global_") and "hooks" in name]
    return {name: dict(getattr(owner, name)) for name in names}


@contextmanager
def registered(*handles):
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def hooked_modules():
    def doubled(module, *given):
        outputs = given[-1]
        return 2 * outputs if isinstance(outputs, torch.Tensor) else None

    return registered(
        modules.register_module_forward_pre_hook(lambda module, given: (given[0] + 1,)),
        modules.register_module_forward_hook(doubled, always_call=True),
        modules.register_module_full_backward_pre_hook(lambda module, given: (3 * given[0],)),
        modules.register_module_full_backward_hook(lambda module, given, gives: None),
        modules.register_module_parameter_registration_hook(
            lambda module, name, tensor: nn.Parameter(tensor.detach() + 1)
        ),
        modules.register_module_buffer_registration_hook(
            lambda module, name, tensor: None if tensor is None else tensor + 1
        ),
        modules.register_module_module_registration_hook(lambda module, name, part: nn.Identity()),
    )


def hooked_optimisers():
    def raised(optimiser, args, kwargs):
        for group in optimiser.param_groups:
            group["lr"] *= 2

    return registered(
        optimisers.register_optimizer_step_pre_hook(raised),
        optimisers.register_optimizer_step_post_hook(raised),
    )


class Tripling(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        outputs = func(*args, **(kwargs or {}))
        return 3 * outputs if func is nn.functional.linear else outputs


class Halving(dispatch.TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        outputs = func(*args, **(kwargs or {}))
        return outputs / 2 if func is torch.ops.aten.addmm.default else outputs


CONVERSION = (
    torch.__future__.get_swap_module_params_on_conversion,
    torch.__future__.set_swap_module_params_on_conversion,
)


@contextmanager
def warnings_as_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


SETTINGS = {
    "threads": (
        lambda: put(torch.get_num_threads, torch.set_num_threads, 2),
        torch.get_num_threads,
    ),
    "libraries": (
        lambda: threadpool_limits(2),
        lambda: [pool["num_threads"] for pool in threadpool_info()],
    ),
    "autocast": (
        lambda: torch.autocast("cpu", torch.bfloat16),
        lambda: (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
    ),
    "autocast on a GPU": (
        lambda: put(
            partial(torch.is_autocast_enabled, "cuda"),
            partial(torch.set_autocast_enabled, "cuda"),
            True,
        ),
        lambda: torch.is_autocast_enabled("cuda"),
    ),
    "no_grad": (torch.no_grad, torch.is_grad_enabled),
    "set_grad_enabled": (lambda: torch.set_grad_enabled(False), torch.is_grad_enabled),
    "inference": (torch.inference_mode, torch.is_inference_mode_enabled),
    "dtype": (
        lambda: put(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
        torch.get_default_dtype,
    ),
    "device": (lambda: torch.device("meta"), torch.get_default_device),
    "default device": (
        lambda: put(lambda: None, torch.set_default_device, "meta"),
        torch.get_default_device,
    ),
    "matmul": (
        lambda: put(
            torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"
        ),
        torch.get_float32_matmul_precision,
    ),
    "precision": (
        lambda: attribute(BACKENDS, "fp32_precision", "tf32"),
        lambda: (BACKENDS.fp32_precision, BACKENDS.mkldnn.conv.fp32_precision),
    ),
    "precision of a kernel": (
        lambda: attribute(BACKENDS.mkldnn.matmul, "fp32_precision", "bf16"),
        lambda: (BACKENDS.mkldnn.matmul.fp32_precision, BACKENDS.mkldnn.conv.fp32_precision),
    ),
    "deterministic": (
        lambda: put(torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode, 2),
        torch.get_deterministic_debug_mode,
    ),
    "math attention": (
        lambda: nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH),
        lambda: (BACKENDS.cuda.flash_sdp_enabled(), BACKENDS.cuda.mem_efficient_sdp_enabled()),
    ),
    "fast path": (
        lambda: put(BACKENDS.mha.get_fastpath_enabled, BACKENDS.mha.set_fastpath_enabled, False),
        BACKENDS.mha.get_fastpath_enabled,
    ),
    "mkldnn": (
        lambda: attribute(BACKENDS.mkldnn, "enabled", False),
        lambda: BACKENDS.mkldnn.enabled,
    ),
    "nnpack": (lambda: BACKENDS.nnpack.flags(enabled=False), torch._C._get_nnpack_enabled),
    "cudnn": (
        lambda: BACKENDS.cudnn.flags(enabled=False, benchmark=True, deterministic=False),
        lambda: (
            BACKENDS.cudnn.enabled,
            BACKENDS.cudnn.benchmark,
            BACKENDS.cudnn.deterministic,
            BACKENDS.cudnn.conv.fp32_precision,
        ),
    ),
    "denormal": (lambda: put(flushes, torch.set_flush_denormal, True), flushes),
    "anomaly": (lambda: torch.autograd.set_detect_anomaly(True), anomaly),
    "saved tensors": (torch.autograd.graph.save_on_cpu, hooks),
    "cached parametrisations": (parametrize.cached, lambda: parametrize._cache_enabled),
    "scikit-learn": (
        lambda: sklearn.config_context(transform_output="pandas", working_memory=1),
        sklearn.get_config,
    ),
    "hooks on modules": (hooked_modules, lambda: every_hook(modules)),
    "hooks on optimisers": (hooked_optimisers, lambda: every_hook(optimisers)),
    "a mode of functions": (Tripling, torch._C._len_torch_function_stack),
    "a mode of operations": (Halving, dispatch._len_torch_dispatch_stack),
    "swapped parameters": (
        lambda: put(CONVERSION[0], CONVERSION[1], True),
        torch.__future__.get_swap_module_params_on_conversion,
    ),
    "order of products": (lambda: BACKENDS.opt_einsum.flags(enabled=False), einsum),
    "errors of NumPy": (lambda: np.errstate(all="raise"), np.geterr),
    "warnings": (warnings_as_errors, lambda: (warnings.filters, list(warnings.filters))),
}


class Awkward(nn.Module):
    """A network whose numbers many settings would change: it has what they act upon."""

    def __init__(self):
        super().__init__()
        self.before = nn.Conv2d(1, 4, 3)
        self.block = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, batch_first=True)
        self.head = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))

    def forward(self, x):
        x = x * torch.full((), 1e-40) * 1e38 * 1e2  # through numbers near zero and back
        parts = self.before(x).flatten(2).transpose(1, 2)
        with torch.autocast("cpu", enabled=True):
            features = self.block(parts * torch.ones(1))
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            return self.head(features.float().mean(1))


def warning_loss(outputs, targets):
    warnings.warn("of the user's own", UserWarning, stacklevel=1)
    return nn.functional.cross_entropy(outputs, targets, reduction="none")


def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(24, 1, 6, 6)).astype(np.float32)
    return jr.Dataset(x, np.arange(24) % 3, x[:9], np.arange(9) % 3)


def everything():
    """Train, sample, look at the Hessian, interpolate and embed; all numbers that come out."""
    task = jr.Task(Awkward, data(), loss=warning_loss, scored=8)
    recipe = jr.Recipe(epochs=1, batch_size=8, lr=0.05, record_early=False)
    fit = jr.train(task, recipe, [0, 1], execution=QUIET)
    found = jr.sample(
        task, fit.final[0], recipe, step_sizes=(0.5, 1.0), directions=3, execution=QUIET
    )
    path = jr.interpolate(task, *fit.final, alphas=3, execution=QUIET)
    plain = jr.Task(lambda: jr.models.mlp((1, 6, 6), 3, (2,)), data(), scored=8)
    wild = jr.train(plain, jr.Recipe(epochs=2, lr=1e30), [0], execution=QUIET)
    sharp = jr.sharp_directions(plain, plain.initial(0), execution=QUIET)
    placed = jr.embed(found, method="pca")
    arrays = [
        fit.states,
        wild.states,
        found.states,
        *fit.metrics.values(),
        *found.metrics.values(),
    ]
    arrays += [*path.metrics.values(), sharp.eigenvalues, placed.coordinates, placed.distances]
    return [np.asarray(array) for array in arrays]


@pytest.fixture(scope="module")
def plain():
    with pytest.warns(UserWarning, match="of the user's own"):
        return everything()


@pytest.mark.parametrize("name", SETTINGS)
def test_numbers_do_not_depend_on_a_setting_which_is_as_before_afterwards(name, plain):
    change, read = SETTINGS[name]
    with pytest.warns(UserWarning, match="of the user's own"), change():
        before = read()
        found = everything()
        with pytest.raises(ValueError, match="states of this task are"):
            jr.evaluate(jr.Task(Awkward, data()), np.zeros((1, 3)))
        assert read() == before
    for one, other in zip(found, plain, strict=True):
        np.testing.assert_array_equal(one, other)


def entered(function):
    """Walk through what decorators have put around a function."""
    while function is not None:
        yield function.__code__.co_filename
        function = getattr(function, "__wrapped__", None)


def test_every_public_call_that_computes_is_under_standard_settings():
    found = {name: getattr(jr, name) for name in jr.__all__}
    calls = {name: call for name, call in found.items() if inspect.isfunction(call)}
    bare = [name for name, call in calls.items() if contextlib.__file__ not in entered(call)]
    assert len(calls) > 35 and bare == ["initialise", "merge_tree", "verify"]  # without torch


def values():
    return [read() for _, read in SETTINGS.values()]


def test_all_settings_are_the_standard_ones_inside_also_after_an_exception():
    with standard_settings():
        standard = values()
    with ExitStack() as stack:
        for change, _ in SETTINGS.values():
            stack.enter_context(change())
        before = values()
        with pytest.raises(KeyError), standard_settings():
            inside = values()
            raise KeyError
        assert values() == before
    assert inside == standard
