"""What torch puts around operations, modules and optimisers is put back as it was."""

import pytest
import torch
from support import nets
from torch.nn.modules import module as modules

import jumpretrain as jr
from jumpretrain.execution.settings import standard_settings


def test_a_network_may_have_hooks_on_saved_tensors_where_others_may_not():
    with torch.autograd.graph.disable_saved_tensors_hooks("none here"):
        with standard_settings(), torch.autograd.graph.save_on_cpu():
            pass
        with pytest.raises(RuntimeError, match="none here"), torch.autograd.graph.save_on_cpu():
            pass


def test_a_hook_that_comes_meanwhile_stays_and_can_be_taken_away():
    first = modules.register_module_forward_hook(lambda module, *given: None)
    with standard_settings():
        assert not modules._global_forward_hooks
        second = modules.register_module_forward_hook(lambda module, *given: None)
    assert list(modules._global_forward_hooks) == [first.id, second.id]
    first.remove()
    second.remove()
    assert not modules._global_forward_hooks


@pytest.mark.parametrize("transform", [torch.func.vmap, torch.func.grad])
def test_a_call_inside_a_transform_is_refused_in_one_line(transform):
    task = nets.TASKS["mlp"]()
    state = torch.as_tensor(task.initial(0))

    def own(shift):
        return shift * float(jr.evaluate(task, [task.initial(0)])["train_loss"][0])

    def handed(shift):
        return torch.as_tensor(jr.evaluate(task, (state + shift)[None])["train_loss"]).sum()

    shifts = torch.ones(()) if transform is torch.func.grad else torch.ones(2)
    for loss in (own, handed):
        with pytest.raises(ValueError, match=r"inside vmap, grad or another .*; make it outside"):
            transform(loss)(shifts)
        assert loss(torch.ones(())) > 0


@pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning")
def test_a_call_inside_a_trace_is_refused_in_one_line():
    task = nets.TASKS["mlp"]()
    with pytest.raises(ValueError, match=r"or inside jit\.trace; make it outside"):
        torch.jit.trace(lambda x: x * float(task.initial(0)[0]), torch.ones(()))
