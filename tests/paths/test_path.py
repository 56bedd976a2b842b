"""What is read off a path equals its definition, counted the slow way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumpretrain.paths.path import Bump, Path
from jumpretrain.states.curves import Curve

LOSSES = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=14)


def path(*loss, **more):
    alphas = np.linspace(0, 1, len(loss)) if len(loss) > 1 else np.array([0.0])
    return Path(alphas, {"train_loss": np.array(loss, dtype=float)}, **more)


def scanned(loss):
    """Bumps as one finds them walking along: indices of start and end, and the height."""
    bumps, start, highest = [], None, 0.0
    for here in range(1, len(loss)):
        if start is None and loss[here] > loss[here - 1]:
            start, highest = here - 1, loss[here]
        elif start is not None and loss[here] < loss[start]:
            bumps.append((start, here, highest - loss[start]))
            start = None
        elif start is not None:
            highest = max(highest, loss[here])
    if start is not None:
        bumps.append((start, len(loss) - 1, highest - loss[start]))
    return bumps


@given(LOSSES)
def test_monotonicity_is_what_a_double_loop_and_a_scan_find(loss):
    made = path(*loss)
    found = made.monotonicity()
    pairs = [(b - a, i, j) for i, a in enumerate(loss) for j, b in enumerate(loss) if i < j]
    assert found.min_delta == max([0.0, *(pair[0] for pair in pairs)])
    assert found.min_delta == made.barrier("running_minimum")
    assert found.bumps == tuple(
        Bump(made.alphas[start], made.alphas[end], height) for start, end, height in scanned(loss)
    )
    assert found.min_delta == max([0.0, *(bump.height for bump in found.bumps)])
    if found.where:
        low, high = np.searchsorted(made.alphas, found.where)
        assert low < high and loss[high] - loss[low] == found.min_delta
    else:
        assert found.min_delta == 0 and not found.bumps and found.rising == 0


def test_a_rise_at_the_last_point_counts():
    found = path(3, 2, 1, 1.5).monotonicity()
    assert found.min_delta == 0.5 and found.where == (pytest.approx(2 / 3), 1.0)
    assert found.bumps == (Bump(pytest.approx(2 / 3), 1.0, 0.5),)
    assert found.rising == pytest.approx(1 / 3)


def test_the_three_barriers_of_a_known_curve():
    made = path(4, 1, 5, 2, 0)
    assert made.barrier("running_minimum") == 4
    assert made.barrier("above_ends") == 1
    assert made.barrier("above_chord") == 5 - 2
    assert made.barrier() == 3


def test_the_chord_rises_with_alpha_however_the_points_are_spaced():
    # the chord from 0 to 8 is at .8, 2 and 6: heights 2.2, 2 and -2
    metrics = {"train_loss": np.array([0.0, 3.0, 4.0, 4.0, 8.0])}
    uneven = Path(np.array([0, 0.1, 0.25, 0.75, 1]), metrics)
    assert uneven.barrier("above_chord") == pytest.approx(2.2, rel=1e-12)
    assert uneven.barrier("above_ends") == 0


@given(LOSSES.filter(lambda loss: len(loss) > 1))
def test_barriers_are_never_negative_and_ordered(loss):
    made = path(*loss)
    ends, chord = made.barrier("above_ends"), made.barrier("above_chord")
    assert 0 <= ends <= chord + 1e-12
    assert path(*[0.5 * (a + len(loss)) for a in loss]).barrier("above_ends") == ends / 2


def test_a_convex_curve_has_no_barrier():
    made = path(*(np.linspace(-1, 0.5, 31) ** 2))
    assert made.barrier("above_ends") == 0 and made.barrier("above_chord") < 1e-15


def labelled(loss, error, classes=4):
    alphas = np.linspace(0, 1, len(loss))
    metrics = {"train_loss": np.asarray(loss, float), "train_error": np.asarray(error, float)}
    errors = {"train": np.tile(np.asarray(error)[:, None], classes)}
    return Path(alphas, metrics, class_error=errors)


def test_plateaus_end_where_their_definitions_say():
    loss = [2, 1.9, 1.8, 1.79, 1, 0.5]
    error = [0.75, 0.7, 0.674, 0.676, 0.1, 0]
    found = labelled(loss, error).plateau()
    assert found.loss == 0.4 and found.error == pytest.approx(0.6)
    assert found.half == 0.8
    assert found.excess == pytest.approx(2 - np.log(4)) and found.epsilon == 0.1
    strict = labelled(loss, error).plateau(epsilon=0.01)
    assert strict.loss == 0 and strict.error == 0
    assert labelled(loss, error).plateau(epsilon=0.3).loss == pytest.approx(0.6)


def test_the_tolerance_of_a_plateau_is_a_share_of_chance():
    # chance is .75, so .675 and not .65; the loss rises to 3 before it falls
    found = labelled([2, 3, 1, 0], [0.75, 0.68, 0.66, 0]).plateau()
    assert found.error == pytest.approx(1 / 3)
    assert found.excess == pytest.approx(3 - np.log(4))


def test_errors_of_classes_are_looked_up_by_split():
    made = labelled([2, 1, 0], [0.75, 0.5, 0])
    assert (
        made.errors().tolist()
        == made.errors("train").tolist()
        == [[v] * 4 for v in (0.75, 0.5, 0)]
    )
    metrics = {"test_loss": made.metrics["train_loss"], "test_error": made.metrics["train_error"]}
    for split in ("test", "val"):
        with pytest.raises(
            KeyError, match=f"no errors of classes of split '{split}'; recorded: tr"
        ):
            made.errors(split)
    with pytest.raises(KeyError, match="no errors of classes of split 'test'; recorded: train"):
        Path(made.alphas, metrics, made.class_error).plateau("test")
    for none in (path(2, 1, 0), path(2, 1, 0, class_error={})):
        assert none.class_error is None and np.isnan(none.plateau().error)
        with pytest.raises(ValueError, match="need class labels, but the path has none"):
            none.errors()


@pytest.mark.parametrize("errors", [np.zeros((3, 4)), np.zeros((0, 4)), [[0.0]] * 3])
def test_errors_of_classes_without_a_split_are_refused(errors):
    with pytest.raises(ValueError, match=r"must hold .* by split, but is a .*pass \{'train': er"):
        Path(np.linspace(0, 1, 3), {}, errors)


def test_half_the_drop_is_where_the_loss_stays_below():
    assert path(4, 0, 3, 1, 0).plateau().half == 0.75
    assert path(4, 2, 0).plateau().half == 0.5
    assert path(4, 2.8, 0, 2).plateau().half == pytest.approx(1 / 3)  # half of the drop is at 3
    assert np.isnan(path(1, 0, 1).plateau().half)


def test_without_classes_there_is_no_plateau_of_the_error():
    found = path(2, 1, 0).plateau()
    assert np.isnan(found.error) and np.isnan(found.excess) and found.loss == 0


def test_curves_may_be_infinite_but_not_nan():
    assert path(1, np.inf, 0).monotonicity().min_delta == np.inf
    assert path(np.inf, np.inf, 0).monotonicity().min_delta == 0
    with pytest.raises(ValueError, match=r"train_loss is NaN at alpha 0\.5"):
        path(1, np.nan, 0).monotonicity()


def test_heights_above_infinite_ends_are_refused():
    for ends in ((np.inf, 0), (2, np.inf)):
        made = path(ends[0], 1, ends[1])
        for kind in ("above_ends", "above_chord"):
            with pytest.raises(ValueError, match=r"needs finite ends, but train_loss is .*inf"):
                made.barrier(kind)
    assert path(2, np.inf, 1).barrier("above_ends") == np.inf


def test_plateaus_need_both_ends():
    loss, error = np.array([0.5, 0.2, 0.1]), np.array([0.2, 0.1, 0.0])
    metrics = {"train_loss": loss, "train_error": error}
    for alphas in ([0.5, 0.75, 1], [0, 0.5, 0.9]):
        cut = Path(np.array(alphas), metrics, {"train": np.zeros((3, 4))})
        with pytest.raises(ValueError, match="needs alphas from 0 to 1"):
            cut.plateau()
    with pytest.raises(ValueError, match=r"go from 0\.5 to 0\.5"):
        Path(np.array([0.5]), {"train_loss": loss[:1]}).plateau()


def test_losses_that_start_at_no_positive_number_have_no_plateau():
    for first in (-1, 0, np.inf):
        assert np.isnan(path(first, -2, -3).plateau().loss)
    assert path(-1, -1, -3).plateau().half == 1.0
    assert np.isnan(path(np.inf, 1, 0).plateau().half)
    assert path(1, 0.95, -3).plateau().loss == 0.5


def test_a_single_point_never_rises():
    found = path(3).monotonicity()
    assert (found.min_delta, found.where, found.bumps, found.rising) == (0, None, (), 0)


def test_states_come_one_at_a_time_from_the_curve():
    curve = Curve(np.zeros(3), np.ones(3), np.array([1, 2, 3]))
    made = path(2, 1, 0, curve=curve)
    states = made.states()
    assert next(states).tolist() == [0, 0, 0]
    assert next(states).tolist() == [0.5, 0.25, 0.125]
    assert len(list(states)) == 1
    with pytest.raises(ValueError, match="it has none; pass curve="):
        next(path(2, 1, 0).states())


def test_wrong_shapes_and_names_are_refused():
    with pytest.raises(ValueError, match=r"metrics\['train_loss'\] must have 1 axes and 3 rows"):
        Path(np.linspace(0, 1, 3), {"train_loss": np.zeros(4)})
    with pytest.raises(ValueError, match=r"class_error\['train'\] must have 2 axes and 2 rows"):
        path(1, 0, class_error={"train": np.zeros(2)})
    with pytest.raises(ValueError, match=r"logits\['test'\] must have 3 axes and 2 rows"):
        path(1, 0, logits={"test": np.zeros((3, 4, 5))})
    with pytest.raises(ValueError, match="alphas must be a list that rises"):
        Path(np.array([1.0, 0.0]), {})
    with pytest.raises(KeyError, match="no metric 'test_loss'; recorded: train_loss"):
        path(1, 0).monotonicity("test_loss")
    with pytest.raises(ValueError, match="kind must be running_minimum"):
        path(1, 0).barrier("chord")
    with pytest.raises(ValueError, match=r"epsilon must lie in \[0, 1\), but is 1"):
        path(1, 0).plateau(epsilon=1)


@pytest.mark.parametrize("kind", ["above_ends", "above_chord"])
def test_what_is_measured_against_the_ends_needs_them(kind):
    cut = Path(np.array([0.25, 0.5]), {"train_loss": np.array([1.0, 2.0])})
    assert cut.barrier("running_minimum") == 1
    with pytest.raises(ValueError, match="needs alphas from 0 to 1"):
        cut.barrier(kind)
