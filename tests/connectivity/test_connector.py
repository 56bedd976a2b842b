"""Numbers of a connector, each worked out by hand from given scores."""

import numpy as np
import pytest

from jumpretrain.connectivity.connector import Connector, lengths


def curve(losses=(1.0, 3.0, 2.5, 2.0, 0.5), straight=(1.0, 4.0, 9.0, 2.0, 0.5)):
    """From (0, 0) over (0, 3) to (4, 3), with a buffer behind the two weights."""
    nodes = np.array([[0, 0, 9], [0, 3, 8], [4, 3, 7]], dtype=np.float32)
    shares = np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]])
    reached = np.array([0, 1.5, 3, 5, 7]) / 7
    return Connector(
        nodes,
        shares,
        np.c_[1 - reached, reached],
        {"train_loss": np.array(losses)},
        {"train_loss": np.array(straight)},
        None,
        {"weights": 2},
    )


def test_barriers_are_above_the_higher_optimum():
    assert curve().barrier == 2 and curve().linear_barrier == 8
    assert curve(losses=(1.0, 0.5, 0.2, 0.4, 0.5)).barrier == 0


def test_a_surface_has_its_barrier_above_the_highest_of_all_optima():
    corners, middle = np.eye(3), np.full((1, 3), 1 / 3)
    losses = {"train_loss": np.array([1.0, 5.0, 2.0, 7.0])}
    flat = {"train_loss": np.array([1.0, 5.0, 2.0, 8.5])}
    coordinates = np.r_[corners, middle]
    found = Connector(np.eye(3), coordinates, coordinates, losses, flat, None, {"weights": 3})
    assert (found.barrier, found.linear_barrier) == (2, 3.5)
    with pytest.raises(ValueError, match="is of a curve between 2 optima, but there are 3"):
        _ = found.length_ratio


def test_lengths_alphas_and_norms_count_weights_alone():
    found = curve()
    assert found.length_ratio == pytest.approx(7 / 5, rel=1e-12)
    assert found.alphas == pytest.approx(np.array([0, 1.5, 3, 5, 7]) / 7)
    assert found.norms == pytest.approx([0, 1.5, 3, 13**0.5, 5], abs=1e-7)
    rows, shares = np.array([[0.0, 0], [3, 4], [3, 0]]), np.eye(3)
    assert lengths(rows, shares).tolist() == [0, 5, 9]


def test_halves_are_told_apart_by_where_a_node_lies_along_the_chord():
    # chord along x from 0 to 8; two nodes before the middle, one on it, two after
    nodes = np.array([[0, 0, 0], [1, 1, 0], [2, 1, 1], [4, 0, 1], [6, 0, 2], [7, 3, 0], [8, 0, 0]])
    shares = np.eye(7)
    metrics = {"train_loss": np.zeros(7)}
    along = nodes[:, 0] / 8
    made = Connector(
        nodes, shares, np.c_[1 - along, along], metrics, metrics, None, {"weights": 3}
    )
    half = 0.5**0.5  # cosines: 1-2 half, 4-5 zero; across 1-4 0, 1-5 1, 2-4 half, 2-5 half
    assert made.half_cosines() == pytest.approx(((half + 0) / 2, (1 + 2 * half) / 4), rel=1e-9)
    with pytest.raises(ValueError, match="shares are"):
        Connector(nodes[:3], shares, made.coordinates, metrics, metrics, None, {})
