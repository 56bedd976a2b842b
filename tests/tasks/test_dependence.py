"""What an example scores follows from the state and from that example."""

import numpy as np
import pytest
import torch
from support import nets
from torch import nn

import jumpretrain as jr
from jumpretrain.tasks.measures import cross_entropy
from jumpretrain.tasks.task import Task

QUIET = jr.Execution(progress=False)


class Recurrent(nn.Module):
    """A recurrent layer over (n, T, d), or over what it takes for that."""

    def __init__(self, batch_first, kind=nn.GRU):
        super().__init__()
        self.inner = kind(2, 4, batch_first=batch_first)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.inner(x)[0][:, -1])


class Attending(nn.Module):
    """Attention over (n, T, d), or over what it takes for that; begins with a head of zeros."""

    def __init__(self, batch_first):
        super().__init__()
        self.widen = nn.Linear(2, 8)
        self.inner = nn.TransformerEncoderLayer(8, 1, 4, dropout=0.0, batch_first=batch_first)
        self.head = nn.Linear(8, 3)
        nn.init.zeros_(self.head.weight)

    def forward(self, x):
        return self.head(self.inner(self.widen(x)).mean(1))


class Centred(nn.Linear):
    """Takes the mean of each batch away, as only its first axis tells."""

    def forward(self, x):
        return super().forward(x - x.mean(0))


def sequences():
    data = nets.vectors()
    return jr.Dataset(
        data.train_x.reshape(-1, 3, 2), data.train_y, data.test_x.reshape(-1, 3, 2), data.test_y
    )


@pytest.mark.parametrize("build", [Recurrent, lambda b: Recurrent(b, nn.LSTM), Attending])
def test_sequences_taken_for_batches_are_refused_and_the_remedy_helps(build):
    with pytest.raises(ValueError, match=r"scored by itself, but the loss .* batch_first=True"):
        Task(lambda: build(False), sequences())
    assert Task(lambda: build(True), sequences()).labelled


def test_statistics_of_the_batch_in_evaluation_are_refused():
    with pytest.raises(ValueError, match="scored by itself, but the loss of one depends on its"):
        Task(lambda: Centred(6, 3), nets.vectors())


def test_a_loss_or_metric_that_compares_examples_is_refused():
    def ranked(outputs, targets):
        return outputs[:, 0].argsort().float() + outputs[:, 0] / outputs[:, 0].sum()

    with pytest.raises(ValueError, match="scored by itself, but the rank of one depends"):
        Task(lambda: nn.Linear(6, 3), nets.vectors(), metrics={"rank": ranked})


@pytest.mark.parametrize("policy", ["recalibrate", "stored", "batch"])
def test_normalising_layers_are_welcome_under_each_policy(policy):
    layers = nn.BatchNorm1d(8), nn.BatchNorm1d(8, track_running_stats=False)
    for layer in layers:
        network = nn.Sequential(nn.Linear(6, 8), layer, nn.ReLU(), nn.Linear(8, 3))
        assert Task(network, nets.vectors(), batchnorm=policy).weight_count == 99


def test_examples_that_are_all_alike_tell_nothing():
    data = nets.vectors()
    same = jr.Dataset(data.train_x[:1].repeat(4, 0), data.train_y[:4], data.test_x, data.test_y)
    assert Task(lambda: Centred(6, 3), same).weight_count == 21


def test_a_network_that_was_trained_may_differ_from_a_fresh_one_in_logs_alone():
    class Noted(nn.Sequential):
        def forward(self, x):
            self.log.append(len(x))
            return super().forward(x)

    network = nets.held(Noted(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)), log=[])
    fit = jr.train(Task(network, nets.vectors()), jr.Recipe(epochs=1), [0], execution=QUIET)
    assert np.isfinite(fit.final).all() and torch.is_tensor(network[0].weight)


class Caching(nn.Linear):
    """Merges its weights in evaluation, and keeps them until something lets them go."""

    merged = None

    def __init__(self, renewed):
        super().__init__(6, 3)
        self.renewed, self.more = renewed, nn.Linear(6, 3)

    def train(self, mode=True):
        if self.renewed:
            self.merged = None
        return super().train(mode)

    def forward(self, x):
        if self.training:
            return super().forward(x) + self.more(x)
        if self.merged is None:
            self.merged = (self.weight + self.more.weight).detach()
        return x @ self.merged.T + self.bias + self.more.bias


class CachingInTraining(nn.Linear):
    """Evaluates by the weights of the first forward in training."""

    merged = None

    def forward(self, x):
        if self.training and self.merged is None:
            self.merged = self.weight.detach().clone()
        kept = self.weight if self.training or self.merged is None else self.merged
        return x @ kept.T + self.bias


@pytest.mark.parametrize(
    "build",
    [lambda: Caching(True), lambda: Caching(False), lambda: CachingInTraining(6, 3)],
)
def test_what_is_kept_of_the_weights_of_an_earlier_state_is_refused_by_name(build):
    with pytest.raises(ValueError, match=r"by what an earlier one left in merged; compute that"):
        Task(build, nets.vectors())


class LowRank(nn.Linear):
    """Adds a map of low rank, which evaluation merges into the weights if told so."""

    def __init__(self, merges):
        super().__init__(6, 3)
        self.merges, self.merged = merges, False
        self.weight.requires_grad_(requires_grad=False)
        self.down, self.up = nn.Parameter(torch.randn(2, 6)), nn.Parameter(torch.zeros(3, 2))

    def train(self, mode=True):
        if self.merges and mode == self.merged:
            self.weight.data += (-1 if mode else 1) * self.up @ self.down
            self.merged = not mode
        return super().train(mode)

    def forward(self, x):
        return super().forward(x) + (0 if self.merged else x @ self.down.T @ self.up.T)


@pytest.mark.parametrize("mode", [True, False])
def test_weights_that_train_and_eval_merge_are_refused_and_the_remedy_helps(mode):
    message = r"leave a network as it is, but those of this one change weight; leave weights unmer"
    with pytest.raises(ValueError, match=message):
        Task(LowRank(True).train(mode), nets.vectors())
    assert Task(LowRank(False).train(mode), nets.vectors()).weight_count == 21


def test_what_train_counts_is_refused_by_name():
    class Counting(nn.Linear):
        calls = 0

        def train(self, mode=True):
            self.calls = self.calls + 1
            return super().train(mode)

    with pytest.raises(ValueError, match=r"leave a network as it is, but .* change calls; leave"):
        Task(lambda: Counting(6, 3), nets.vectors())


def test_train_may_set_what_follows_from_the_mode():
    class Setting(nn.Linear):
        def train(self, mode=True):
            self.scale = 2.0 if mode else 1.0
            return super().train(mode)

        def forward(self, x):
            return super().forward(x) * self.scale

    assert Task(lambda: Setting(6, 3), nets.vectors()).weight_count == 21


class Limited(nn.Module):
    """Keeps its embeddings short, by an option or by hand."""

    def __init__(self, max_norm=None, by_hand=False):
        super().__init__()
        self.embedding, self.by_hand = nn.Embedding(12, 3, max_norm=max_norm), by_hand

    def forward(self, x):
        if self.by_hand:
            weight = self.embedding.weight
            weight.data = nn.functional.normalize(weight.data, dim=1) / 2
        return self.embedding(x).sum(1)


@pytest.mark.parametrize(("max_norm", "by_hand"), [(0.1, False), (None, True)])
def test_weights_that_a_forward_shortens_are_refused_by_name(max_norm, by_hand):
    x, y = np.arange(24).reshape(6, 4) % 12, np.arange(6) % 3
    tokens = jr.Dataset(x, y, x, y)
    message = r"changes embedding.weight in eval mode; compute .* max_norm=None"
    with pytest.raises(ValueError, match=message):
        Task(lambda: Limited(max_norm, by_hand), tokens)
    assert Task(lambda: Limited(), tokens).weight_count == 36


COUNTED = [0]


class Steps:
    """Counts what is called."""

    count = 0


class CountedOnItself(nn.Linear):
    """Counts its calls in training in its class, where they tell late."""

    steps = 0

    def forward(self, x):
        CountedOnItself.steps += self.training
        return super().forward(x) * (1 + (self.steps > 40))


class CountedElsewhere(nn.Linear):
    """Counts its calls in training in another class, where they tell late."""

    def forward(self, x):
        Steps.count += self.training
        return super().forward(x) * (1 + (Steps.count > 40))


class CountedInModule(nn.Linear):
    """Counts its calls in training in its module, where they tell late."""

    def forward(self, x):
        COUNTED[0] += self.training
        return super().forward(x) * (1 + (COUNTED[0] > 40))


class Warming(nn.Module):
    """A loss that counts steps in an attribute or a buffer, and changes late."""

    def __init__(self, in_buffer):
        super().__init__()
        if in_buffer:
            self.register_buffer("step", torch.tensor(0.0))
        else:
            self.step = 0

    def forward(self, outputs, targets):
        self.step += outputs.requires_grad
        return cross_entropy(outputs, targets) * (1 + (self.step > 40))


def warming():
    seen = {"step": 0}

    def loss(outputs, targets):
        seen["step"] += outputs.requires_grad
        return cross_entropy(outputs, targets) * (1 + (seen["step"] > 40))

    return loss


@pytest.mark.parametrize(
    ("model", "loss", "name"),
    [
        (CountedOnItself, None, r"CountedOnItself\.steps"),
        (CountedElsewhere, None, r"CountedElsewhere\.forward\.Steps\.Steps\.count"),
        (CountedInModule, None, r"CountedInModule\.forward\.COUNTED\[0\]"),
        (nn.Linear, Warming(False), r"loss\.step"),
        (nn.Linear, Warming(True), r"loss\.step"),
        (nn.Linear, warming(), r"loss\.seen\['step'\]"),
    ],
)
def test_what_calls_change_outside_of_the_network_is_refused_by_name(model, loss, name):
    said = rf"equal calls must give equal .* change {name}, which is in no state; let them keep"
    with pytest.raises(ValueError, match=said):
        Task(lambda: model(6, 3), nets.vectors(), **({"loss": loss} if loss else {}))


@pytest.mark.parametrize("mode", ["looped", "stacked"])
def test_what_a_loss_changes_late_is_refused_after_training(mode):
    late, calls = {"on": False}, []

    def loss(outputs, targets):
        calls.append(len(outputs))
        late["on"] = len(calls) > 40
        return cross_entropy(outputs, targets)

    task = Task(lambda: nn.Linear(6, 3), nets.vectors(), loss=loss)
    recipe, quiet = jr.Recipe(epochs=40), jr.Execution(progress=False, mode=mode)
    with pytest.raises(ValueError, match=r"equal calls .* change loss.late\['on'\], which is in"):
        jr.train(task, recipe, [0, 1], execution=quiet)


def test_a_loss_that_changes_at_once_is_told_so_and_not_that_the_forward_is_random():
    seen = []

    def loss(outputs, targets):
        seen.append(len(outputs))
        return cross_entropy(outputs, targets) + len(seen)

    with pytest.raises(ValueError, match="equal outputs must be scored alike, but loss is not"):
        Task(lambda: nn.Linear(6, 3), nets.vectors(), loss=loss)
