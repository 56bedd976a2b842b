"""What an example scores follows from the state and from that example."""

import numpy as np
import pytest
import torch
from support import nets
from torch import nn

import jumpretrain as jr
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
