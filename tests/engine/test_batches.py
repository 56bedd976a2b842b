"""Orders of examples depend on the run's seed and the epoch alone."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import nets
from torch import nn

from jumpretrain.engine.batches import augmented, check_batches, epoch_batches, seed_of_step
from jumpretrain.engine.recipe import Recipe
from jumpretrain.tasks.task import Task


def numbered(count=10):
    x = np.arange(count, dtype=np.float32)[:, None] * np.ones((1, 6), dtype=np.float32)
    y = np.arange(count) % 3
    return Task(lambda: nets.mlp((6,), 3, hidden=(4,)), nets.Dataset(x, y, x, y))


def seen(task, recipe, seeds, epoch):
    return [
        x[:, :, 0].int().numpy() for x, _ in epoch_batches(task, recipe, np.array(seeds), epoch)
    ]


def test_each_run_sees_each_example_once_in_its_own_order():
    parts = seen(numbered(), Recipe(batch_size=4), [3, 8], 0)
    assert [part.shape for part in parts] == [(2, 4), (2, 4), (2, 2)]
    orders = np.concatenate(parts, axis=1)
    for seed, order in zip((3, 8), orders, strict=True):
        expected = np.random.default_rng((seed, 0)).permutation(10)
        np.testing.assert_array_equal(order, expected)


def test_orders_change_with_the_epoch_and_not_with_the_company():
    task, recipe = numbered(), Recipe(batch_size=4, drop_last=True)
    alone, beside = seen(task, recipe, [3], 1), seen(task, recipe, [5, 3], 1)
    assert len(alone) == 2
    for one, two in zip(alone, beside, strict=True):
        np.testing.assert_array_equal(one[0], two[1])
    assert not np.array_equal(alone[0], seen(task, recipe, [3], 0)[0])


def test_targets_come_with_their_inputs():
    for x, y in epoch_batches(numbered(), Recipe(batch_size=4), np.array([0, 1]), 0):
        np.testing.assert_array_equal(x[:, :, 0].int() % 3, y)


def test_draws_of_a_step_are_keyed_by_run_and_step():
    found = [seed_of_step(*key) for key in ((1, 2), (1, 3), (2, 2), (1, 2))]
    assert found[0] == found[3] and len(set(found)) == 3
    assert found[0] == 7764949442709860949


@settings(max_examples=40, deadline=None)
@given(crop=st.integers(0, 3), flip=st.booleans(), seed=st.integers(0, 9), width=st.integers(2, 5))
def test_augmentation_equals_a_loop_over_images(crop, flip, seed, width):
    images = torch.arange(6 * 2 * 4 * width, dtype=torch.float32).reshape(6, 2, 4, width) + 1
    rng = np.random.default_rng(seed)
    draws = [rng.integers(high, size=6) for high in (2 * crop + 1, 2 * crop + 1, 2)]
    stream = iter(zip((2 * crop + 1, 2 * crop + 1, 2), draws, strict=True))

    def draw(high, count):
        wanted, drawn = next(stream)
        assert (high, count) == (wanted, 6)
        return torch.as_tensor(drawn)

    found = augmented([images], crop, flip, draw)[0].numpy()
    for image, result, down, right, mirror in zip(images.numpy(), found, *draws, strict=True):
        expected = np.zeros_like(image)
        for row in range(4):
            for column in range(width):
                y, x = row + down - crop, column + right - crop
                if 0 <= y < 4 and 0 <= x < width:
                    expected[:, row, column] = image[:, y, x]
        expected = expected[..., ::-1] if flip and mirror else expected
        np.testing.assert_array_equal(result, expected)


def pictures(targets_of, crop, flip):
    x = np.random.default_rng(0).normal(size=(12, 2, 6, 5)).astype(np.float32)
    y = targets_of(x)
    build = partial(nn.Conv2d, 2, 2, 1)
    data = nets.Dataset(x, y, x, y, crop=crop, flip=flip)
    return Task(build, data, loss=lambda outputs, _: outputs.flatten(1).mean(1))


MOVING = {
    "the images": (lambda x: x, lambda x: x),
    "one channel": (lambda x: x[:, :1], lambda x: x[:, :, :1]),
    "no channel": (lambda x: x[:, 1], lambda x: x[:, :, 1]),
    "float64": (lambda x: x.astype(np.float64), lambda x: x),
}


@pytest.mark.parametrize("name", MOVING)
@pytest.mark.parametrize("crop", [0, 2])
def test_targets_of_pixels_are_cropped_and_mirrored_with_their_images(name, crop):
    make, remake = MOVING[name]
    task = pictures(make, crop, True)
    for x, y in epoch_batches(task, Recipe(batch_size=5), np.array([3, 8]), 0):
        np.testing.assert_array_equal(y, remake(x))


def test_classes_of_pixels_are_mirrored_with_their_images():
    task = pictures(lambda x: (x[:, 0] > 0).astype(np.int64), 0, True)
    for x, y in epoch_batches(task, Recipe(batch_size=5), np.array([3, 8]), 0):
        assert y.dtype == torch.int64
        np.testing.assert_array_equal(y, x[:, :, 0] > 0)


@pytest.mark.parametrize("shape", [(12,), (12, 5), (12, 6, 4), (12, 5, 6), (12, 60)])
def test_targets_of_other_shapes_stay_and_change_nothing_of_the_images(shape):
    y = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    tasks = pictures(lambda _: y, 2, True), pictures(lambda x: x, 2, True)
    seeds = np.array([3, 8])
    pairs = [epoch_batches(task, Recipe(batch_size=5), seeds, 0) for task in tasks]
    orders = [np.random.default_rng((seed, 0)).permutation(12) for seed in seeds]
    for start, ((x, kept), (same, _)) in zip((0, 5, 10), zip(*pairs, strict=True), strict=True):
        np.testing.assert_array_equal(kept, [y[order[start : start + 5]] for order in orders])
        np.testing.assert_array_equal(x, same)


class Embedded(nn.Module):
    """Knows too few tokens, as a user's does who has counted them wrong."""

    def __init__(self, tokens):
        super().__init__()
        self.table, self.norm, self.head = (
            nn.Embedding(tokens, 4),
            nn.BatchNorm1d(4),
            nn.Linear(4, 3),
        )

    def forward(self, x):
        return self.head(self.norm(self.table(x).mean(1)))


@pytest.mark.parametrize("size", [20, 38, 41, 64])
def test_an_example_that_makes_a_network_fail_is_named_and_no_batch_is_called_small(size):
    given = nets.tokens()
    tokens = given.train_x.copy()
    tokens[2, 0] = 50
    data = replace(given, train_x=tokens)
    few, enough = (Task(partial(Embedded, count), data, scored=2) for count in (12, 51))
    with pytest.raises(ValueError, match=r"example 2 \(from 0\) makes it fail: index out"):
        check_batches(few, Recipe(batch_size=size))
    check_batches(enough, Recipe(batch_size=size))


@pytest.mark.parametrize("size", [1, 43])
def test_a_batch_of_one_is_called_small_where_its_example_is_whole(size):
    task = Task(partial(Embedded, 12), nets.tokens())
    with pytest.raises(ValueError, match=f"batches of {size} leave one alone, which fails: Expec"):
        check_batches(task, Recipe(batch_size=size))
    check_batches(task, Recipe(batch_size=42))
