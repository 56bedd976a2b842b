"""Networks are taken out of their wrappers, and what is no network with values is refused."""

import functools

import numpy as np
import pytest
import torch
from support import nets
from torch import nn
from torch.nn.utils import prune, weight_norm
from torch.optim.swa_utils import AveragedModel

from jumpretrain.engine.evaluate import evaluate
from jumpretrain.engine.recipe import Recipe
from jumpretrain.engine.train import train
from jumpretrain.execution.execution import Execution
from jumpretrain.networks.models import mlp
from jumpretrain.tasks.measures import cross_entropy
from jumpretrain.tasks.modules import unwrapped
from jumpretrain.tasks.task import Task

QUIET = Execution(progress=False)
LOOPED = Execution(mode="looped", progress=False)  # torch warns of weight_norm under vmap


def small():
    return mlp((6,), 3, hidden=(8,))


def compiled(net):
    return torch.compile(net, backend="eager")


WRAPPERS = [nn.DataParallel, compiled, AveragedModel, lambda net: nn.DataParallel(compiled(net))]


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_a_wrapped_network_is_the_network_itself(wrap):
    plain = small()
    assert type(unwrapped(wrap(plain))) is nn.Sequential
    tasks = [Task(model, nets.vectors()) for model in (plain, wrap(plain))]
    assert tasks[0].layout == tasks[1].layout and tasks[0].fingerprint == tasks[1].fingerprint
    built = Task(lambda: wrap(small()), nets.vectors())
    assert built.layout == tasks[0].layout
    np.testing.assert_array_equal(built.initial(5), Task(small, nets.vectors()).initial(5))
    runs = [train(t, Recipe(epochs=1), [0, 1], execution=QUIET).final for t in tasks]
    np.testing.assert_array_equal(*runs)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize(
    "hook", [weight_norm, lambda part: prune.l1_unstructured(part, "weight", 4)]
)
@pytest.mark.parametrize("made", [lambda build: build, lambda build: build()])
def test_networks_whose_weights_hooks_compute_are_trained_and_scored(hook, made):
    def build():
        return nn.Sequential(hook(nn.Linear(6, 8)), nn.ReLU(), nn.Linear(8, 3))

    task = Task(made(build), nets.vectors())
    state = task.state(task.template)
    fit = train(task, Recipe(epochs=1, lr=0.1), [0, 1], [state, 1.1 * state], execution=LOOPED)
    after = task.module(fit.final[1]).eval()
    with torch.no_grad():
        loss = cross_entropy(after(task.tensors["test_x"]), task.tensors["test_y"]).mean()
    assert evaluate(task, fit)["test_loss"][1] == pytest.approx(float(loss), rel=1e-5)
    first, last = (fit.metrics["train_loss"][:, k] for k in (0, -1))
    assert (last < first).all()


class Spread(nn.Module):
    """A table of tokens, whose gradients are sparse, under a linear layer."""

    def __init__(self, sparse, functional=False):
        super().__init__()
        self.table, self.head = nn.Embedding(12, 4, sparse=sparse), nn.Linear(4, 3)
        self.functional = functional

    def forward(self, x):
        rows = nn.functional.embedding(x, self.table.weight, sparse=True) if self.functional else 0
        return self.head((rows if self.functional else self.table(x)).mean(1))


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("seeds", [[0], [0, 1]])
def test_sparse_gradients_train_as_dense_ones_do(optimiser, seeds):
    recipe = Recipe(epochs=2, lr=0.1, optimiser=optimiser, weight_decay=0.01)
    models = [Spread(False), Spread(True), Spread(False, functional=True)]
    tasks = [Task(functools.partial(_same, model), nets.tokens()) for model in models]
    dense, *others = [train(t, recipe, seeds, execution=QUIET) for t in tasks]
    for other in others:
        np.testing.assert_allclose(other.final, dense.final, atol=1e-6)


def _same(model):
    torch.manual_seed(torch.initial_seed() % 2**31)
    return Spread(model.table.sparse, model.functional)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (None, "model must be a Module or a function, but is None"),
        (3, "model must be a Module or a function, but is 3"),
        (nn.Linear(6, 3).state_dict(), "model must be a Module or a function"),
        (nn.Linear, "takes no arguments, but this one does .*; pass lambda: ... with"),
        (functools.partial(nn.Linear, 6), "takes no arguments, but this one does"),
        (lambda: None, "but the function gave a NoneType"),
        (lambda: small().state_dict(), "but the function gave a OrderedDict"),
        (nn.Linear(6, 3, device="meta"), "weight is on the meta device; build it on the CPU"),
        (lambda: nn.Linear(6, 3, device="meta"), "weight is on the meta device"),
        (nn.LazyLinear(3), "run it once on an input, or name its sizes"),
        (nn.LazyBatchNorm1d(affine=False), "has none yet; run it once"),
        (nn.Flatten(), "a task needs a trainable parameter"),
        (small().half(), r"convert the model with \.float\(\) first"),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
def test_what_is_no_network_with_values_is_refused_in_one_line(model, message):
    with pytest.raises((TypeError, ValueError), match=message) as found:
        Task(model, nets.vectors())
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("device", ["nonsense", "cuda:99", "meta", "CPU", ""])
def test_a_device_that_is_not_there_is_refused_and_the_remedy_helps(device):
    with pytest.raises(ValueError, match=r"^device must be one .*; pass 'cpu'") as found:
        Task(small, nets.vectors(), device=device)
    assert "\n" not in str(found.value)
    assert Task(small, nets.vectors(), device="cpu").device == "cpu"


def test_a_device_of_torch_is_taken_by_its_name():
    task = Task(small, nets.vectors(), device=torch.device("cpu"))
    assert task.device == "cpu" and task.fingerprint == Task(small, nets.vectors()).fingerprint


@pytest.mark.parametrize("kind", ["register_hook", "register_post_accumulate_grad_hook"])
def test_a_hook_on_a_parameter_which_copies_have_not_is_refused(kind):
    def build():
        network = small()
        build.handle = getattr(next(network.parameters()), kind)(lambda tensor: None)
        return network

    network = build()
    for model in (network, build):
        with pytest.raises(ValueError, match=r"hooks on parameters are not copied, but 1\.weight"):
            Task(model, nets.vectors())
    network = build()
    build.handle.remove()
    assert Task(network, nets.vectors()).weight_count


class Untied(nn.Module):
    """Decodes by its encoder transposed, as a view that it keeps or in each forward."""

    def __init__(self, keep):
        super().__init__()
        self.encoder, self.head = nn.Linear(6, 4), nn.Linear(6, 3)
        self.kept = keep(self.encoder.weight)

    def forward(self, x):
        weight = self.encoder.weight.t() if self.kept is None else next(iter(self.kept))
        return self.head(nn.functional.linear(self.encoder(x).tanh(), weight))


@pytest.mark.parametrize(
    "keep", [lambda w: [w.t()], lambda w: w.data.t()[None], lambda w: (w.detach().t(),)]
)
def test_an_attribute_that_is_a_view_of_a_weight_is_refused_and_the_remedy_helps(keep):
    with pytest.raises(ValueError, match=r"but kept is a view of encoder.weight, .* compute it"):
        Task(Untied(keep), nets.vectors())
    with pytest.raises(ValueError, match=r"but kept is a view of encoder.weight, .* compute it"):
        Task(lambda: Untied(keep), nets.vectors())
    assert Task(Untied(lambda w: None), nets.vectors()).weight_count == 49


def test_what_hooks_and_lists_refer_to_is_no_view_of_a_weight():
    normed = nn.utils.spectral_norm(nn.Linear(6, 3))
    for network in (normed, nets.held(nn.Linear(6, 3), all=list(normed.parameters()))):
        assert Task(network, nets.vectors()).weight_count == 21
