"""Plots draw the numbers they were given, on the Axes they were given, and touch nothing else."""

import itertools
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.text import Text
from support import cases

from jumpretrain import plots
from jumpretrain.comparison.compare import compare
from jumpretrain.connectivity.connector import Connector
from jumpretrain.curvature.sections import Section
from jumpretrain.curvature.sharp_directions import SharpDirections
from jumpretrain.embedding.embed import Embedding
from jumpretrain.paths.path import Path
from jumpretrain.paths.signals import Signals
from jumpretrain.plots import canvas, contrasts, curves, scatters, sheets
from jumpretrain.topology.diagrams import Diagrams

ARMS = cases.arms()
JUMPS = ARMS.jumps()
OPTIMUM = 1 + len(JUMPS) * len(JUMPS.epoch)


def embedded(optimum=False, connect="mst", components=4, trajectories=JUMPS, seed=0):
    labels = trajectories.labels(optimum)
    coordinates = np.random.default_rng(seed).normal(size=(len(labels), 2))
    distances = np.linalg.norm(coordinates[:, None] - coordinates[None], axis=2)
    choices = {"method": "phate", "metric": "cosine", "connect": connect, "knn": 5}
    return Embedding(coordinates, None, distances, labels, components, 7, choices)


def bars(*dimensions):
    return Diagrams(tuple(np.array(dim, dtype=float).reshape(-1, 2) for dim in dimensions))


DIAGRAMS = bars([[0, np.inf], [0.5, np.inf], [1, 3], [2, 2.5]], [[2, 4], [3, np.inf]])


def compared(networks=5, shift=10, names=("deep", "flat")):
    rng = np.random.default_rng(0)
    groups = {
        name: [
            {"depth": rng.normal() + shift * index, "width": rng.normal()} for _ in range(networks)
        ]
        for index, name in enumerate(names)
    }
    return compare(groups)


FIDELITY = pd.DataFrame(
    {"continuity": [0.9, 0.5], "trustworthiness": [0.4, 0.8]}, index=["phate", "pca"]
)

LABELLED = {"task": {"measures": "loss=cross_entropy"}, "biases": "linear", "others": "end"}


def line(values, metric="train_loss", error=None, select="everything", **choices):
    alphas = np.linspace(0, 1, len(values))
    provenance = {**LABELLED, "select": select, **choices}
    errors = None if error is None else {"train": error}
    return Path(alphas, {metric: np.array(values, dtype=float)}, errors, provenance=provenance)


FALLING, RISING = line([2.0, 1.5, 1.0, 0.5]), line([2.0, 2.5, 1.0, 0.5])
TURNING = np.array([
    [1.0, 1, 1, np.nan],
    [0, 1, 1, np.nan],
    [0, 0.6, 0.4, np.nan],
    [0, 0, 0, np.nan],
])
ALL_BUT_ONE = {
    "fc2": line([1.0, 0.6, 0.5, 0.5], "test_loss", select="fc2"),
    "conv": line([9.0, 2.0, 0.6, 0.5], "test_loss", select="conv"),
    "all": line([12.0, 2.3, 2.0, 0.5], "test_loss"),
}
SIGNALS = Signals(
    np.array([0.0, 0.5, 1.0]),
    ("0", "2"),
    np.array([[-0.1, 0.0], [1.0, 0.5], [2.0, 2.0]]),
    np.array([2.0, 2.0]),
)

PLANE = Section(
    np.array([[0.0, 0.0], [2.0, 0.0], [1.0, 1.0]]),
    np.linspace(-1, 3, 5),
    np.linspace(-1, 2, 4),
    {"train_loss": np.geomspace(0.01, 5, 20).reshape(4, 5), "test_accuracy": np.full((4, 5), 0.5)},
    np.zeros(3),
    np.eye(2, 3),
    {"task": {"measures": "loss=cross_entropy"}},
)
SHARP = SharpDirections(
    np.array([5.0, 1.0, 0.01, -0.2]), 0.03, 5.81, 5.1, 0.02, 0.001, "exact", {}
)

SADDLES = cases.planted_saddles()


def five_points():
    labels = SADDLES.labels.drop(columns="network")
    return Embedding(np.eye(5, 2), None, np.zeros((5, 5)), labels, 1, 7, {"method": "pca"})


DRAW = {
    "section": lambda ax: plots.section(PLANE, ax=ax),
    "flat section": lambda ax: plots.section(PLANE, "test_accuracy", ax),
    "spectrum": lambda ax: plots.spectrum(SHARP, ax),
    "paths": lambda ax: plots.paths({"own": [FALLING, RISING], "other": RISING}, ax=ax),
    "spread": lambda ax: plots.spread([FALLING, RISING], ax=ax),
    "classes": lambda ax: plots.classes(line([1, 1, 1, 0], error=TURNING), ax),
    "layers": lambda ax: plots.layers(ALL_BUT_ONE, ax=ax),
    "signals": lambda ax: plots.signals(SIGNALS, ax),
    "trajectories": lambda ax: plots.trajectories(embedded(optimum=True), ax=ax),
    "values": lambda ax: plots.trajectories(embedded(), JUMPS.values("test_loss"), ax),
    "diagram": lambda ax: plots.diagram(DIAGRAMS, ax),
    "logarithmic": lambda ax: plots.diagram(DIAGRAMS, ax, log=True),
    "no bars": lambda ax: plots.diagram(bars([], []), ax),
    "loss": lambda ax: plots.loss(ARMS, "test_loss", ax),
    "accuracy": lambda ax: plots.loss(ARMS, "train_accuracy", ax),
    "distance": lambda ax: plots.distance(ARMS, ax),
    "comparison": lambda ax: plots.comparison(compared(), ax),
    "fidelity": lambda ax: plots.fidelity(FIDELITY, ax),
    "disconnectivity": lambda ax: plots.disconnectivity(SADDLES, ax),
    "profile": lambda ax: plots.profile(SADDLES, ax, "log"),
    "basins": lambda ax: plots.basins(five_points(), SADDLES, 2.2, ax),
    "back": lambda ax: plots.back(SADDLES, ax),
    "range law": lambda ax: plots.range_law([1, 2, 3], [1, 2, 3.1], ["a", "b", "a"], ax),
}


def scattered(ax):
    return [found for found in ax.collections if isinstance(found, PathCollection)]


def offsets(ax):
    return np.vstack([np.asarray(found.get_offsets()) for found in scattered(ax)])


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def ordered(points):
    return points[np.lexsort(points.T)]


@pytest.mark.parametrize("name", DRAW)
def test_it_draws_on_the_axes_it_is_given_and_changes_nothing_else(name):
    ax = FigureCanvasAgg(Figure()).figure.add_subplot()
    settings, figures = dict(mpl.rcParams), plt.get_fignums()
    assert DRAW[name](ax) is ax
    ax.figure.canvas.draw()
    assert ax.has_data()
    assert ax.get_title(loc="left")
    assert (dict(mpl.rcParams), plt.get_fignums()) == (settings, figures)


@pytest.mark.parametrize("name", DRAW)
def test_without_axes_it_makes_a_figure_that_pyplot_does_not_know(name):
    figures = plt.get_fignums()
    first, second = DRAW[name](None), DRAW[name](None)
    assert first.figure is not second.figure
    assert plt.get_fignums() == figures
    assert canvas.png(first.figure).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", sorted(set(DRAW) - {"fidelity", "comparison"}))
def test_both_axes_are_named(name):
    ax = DRAW[name](None)
    assert ax.get_xlabel()
    assert ax.get_ylabel()


def test_equal_results_give_equal_bytes():
    first, second = (canvas.png(DRAW["trajectories"](None).figure) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("optimum", [False, True])
def test_every_point_is_drawn_once_where_it_lies(optimum):
    embedding = embedded(optimum)
    ax = plots.trajectories(embedding)
    assert np.array_equal(ordered(offsets(ax)), ordered(embedding.coordinates))


def test_the_optimum_is_a_star():
    embedding = embedded(optimum=True)
    ax = plots.trajectories(embedding)
    star = scattered(ax)[-1]
    assert np.array_equal(star.get_offsets(), embedding.coordinates[:1])
    assert len(star.get_paths()[0].vertices) == 11  # five tips, five notches, closed
    assert "optimum" in legend(ax)
    assert "optimum" not in legend(plots.trajectories(embedded()))


def test_jumps_have_a_marker_of_their_own_for_each_step_size():
    embedding = embedded()
    ax = plots.trajectories(embedding)
    labels = embedding.labels
    shapes = set()
    for found, size in zip(scattered(ax)[1:], (0.5, 1.0), strict=True):
        jumps = ((labels["step_size"] == size) & (labels["epoch"] == 0)).to_numpy()
        assert np.array_equal(found.get_offsets(), embedding.coordinates[jumps])
        shapes.add(found.get_paths()[0].vertices.tobytes())
    assert len(shapes) == 2
    assert {"jump of 0.5", "jump of 1"} < set(legend(ax))


def test_a_direction_keeps_its_hue_and_fades_with_the_epoch():
    labels = JUMPS.labels()
    shades = scatters.faded(labels)
    first = {d: shades[(labels["direction"] == d) & (labels["epoch"] == 0)] for d in (0, 1, 2)}
    assert len({tuple(rows[0]) for rows in first.values()}) == 3
    assert all(np.ptp(rows, axis=0).max() == 0 for rows in first.values())
    whiteness = shades.min(axis=1).reshape(len(JUMPS), -1)
    assert (np.diff(whiteness, axis=1) > 0).all()
    assert shades.max() <= 1


def test_values_stay_with_their_points():
    embedding, values = embedded(optimum=True), JUMPS.values("test_loss", optimum=True)
    ax = plots.trajectories(embedding, values, name="test loss (nats)")
    known = {
        tuple(point): value for point, value in zip(embedding.coordinates, values, strict=True)
    }
    for found in scattered(ax)[:-1]:
        assert found.norm.vmin == values.min()
        drawn = zip(found.get_offsets(), found.get_array(), strict=True)
        assert all(known[tuple(point)] == value for point, value in drawn)
    assert [axes.get_ylabel() for axes in ax.figure.axes[1:]] == ["test loss (nats)"]


@pytest.mark.parametrize("values", [np.zeros(48), np.linspace(-1, 1, 48)])
def test_values_without_a_logarithm_are_coloured_linearly(values):
    ax = plots.trajectories(embedded(), values)
    assert not isinstance(scattered(ax)[0].norm, mpl.colors.LogNorm)


def test_a_picture_needs_two_dimensions_and_one_value_a_point():
    line = replace(embedded(), coordinates=np.zeros((48, 1)))
    with pytest.raises(ValueError, match="needs 2 dimensions"):
        plots.trajectories(line)
    with pytest.raises(ValueError, match=r"one value a point, \(49,\), but values are \(48,\)"):
        plots.trajectories(embedded(optimum=True), JUMPS.values("test_loss"))


@pytest.mark.parametrize(
    ("connect", "components", "words"),
    [
        (None, 12, "in 12 pieces, left apart"),
        ("mst", 12, "in 12 pieces, joined"),
        ("mst", 1, "one piece"),
    ],
)
def test_the_title_tells_of_the_pieces(connect, components, words):
    ax = plots.trajectories(embedded(connect=connect, components=components))
    assert words in ax.get_title(loc="left").replace("\n", " ")


def test_the_caption_names_the_choices():
    ax = plots.trajectories(embedded(connect=None))
    assert ax.figure.get_supxlabel() == "phate, metric cosine, knn 5, connect none"


@pytest.mark.parametrize("count", [1, 3, 6, 9, 20])
def test_colours_differ(count):
    assert len(set(canvas.colours(count))) == count
    assert len(set(canvas.ramp(count))) == count


@pytest.mark.parametrize("log", [False, True])
def test_bars_that_never_die_lie_apart_above_all_others(log):
    ax = plots.diagram(DIAGRAMS, log=log)
    pieces, lasting, loops, endless = (np.asarray(s.get_offsets()) for s in scattered(ax))
    assert np.array_equal(pieces, DIAGRAMS.finite(0))
    assert np.array_equal(loops, DIAGRAMS.finite(1))
    assert np.array_equal(lasting[:, 0], DIAGRAMS.essential(0))
    assert np.array_equal(endless[:, 0], DIAGRAMS.essential(1))
    top = np.unique([*lasting[:, 1], *endless[:, 1]])
    assert len(top) == 1
    assert top > 4
    assert ax.get_ylim()[1] > top
    assert ax.texts[0].get_text() == "never dies"
    assert legend(ax) == [
        "2 pieces merge",
        "2 never merge",
        "1 loops fill",
        "1 never fills",
    ]


def test_without_endless_bars_nothing_says_so():
    ax = plots.diagram(bars([[0, 1]]))
    assert not ax.texts
    assert len(scattered(ax)) == 1


def test_the_diagonal_spans_all_bars():
    diagonal = plots.diagram(DIAGRAMS).lines[0]
    assert np.array_equal(diagonal.get_xdata(), [0, 4])
    assert np.array_equal(diagonal.get_ydata(), [0, 4])


def test_each_run_is_a_line_and_the_control_is_dashed_and_black():
    ax = plots.loss(ARMS, "test_loss")
    lines = ax.lines[: len(ARMS)]
    drawn = np.array([line.get_ydata() for line in lines])
    assert np.array_equal(drawn, ARMS.metrics["test_loss"])
    assert all(np.array_equal(line.get_xdata(), ARMS.epoch) for line in lines)
    dashed = [line.get_linestyle() == "--" and line.get_color() == "black" for line in lines]
    assert dashed == (ARMS.step_size == 0).tolist()
    palette = {size: set() for size in ARMS.step_size}
    for line, size in zip(lines, ARMS.step_size, strict=True):
        palette[size].add(line.get_color())
    assert [len(colours) for colours in palette.values()] == [1, 1, 1]
    assert ax.lines[len(ARMS)].get_ydata()[0] == ARMS.optimum_metrics["test_loss"]


def test_losses_above_zero_are_logarithmic_and_others_are_not():
    assert plots.loss(ARMS, "test_loss").get_yscale() == "log"
    assert plots.loss(ARMS, "train_loss").get_yscale() == "linear"  # the control's is 0
    assert plots.loss(ARMS, "test_accuracy").get_yscale() == "linear"


def test_the_title_says_where_the_median_run_goes():
    jumped = ARMS.step_size > 0
    start, end = np.median(ARMS.metrics["test_loss"][jumped], axis=0)[[0, -1]]
    title = plots.loss(ARMS, "test_loss").get_title(loc="left").replace("\n", " ")
    assert title == f"test loss from {start:.2g} to {end:.2g} (median of 6 runs), optimum 0.2"


def test_the_unit_is_nats_only_for_a_cross_entropy():
    task = {"measures": "loss=cross_entropy, accuracy=accuracy"}
    known = replace(ARMS, provenance={"task": task})
    assert plots.loss(known, "test_loss").get_ylabel() == "test loss (nats)"
    assert plots.loss(ARMS, "test_loss").get_ylabel() == "test loss"
    assert curves.unit(ARMS, "test_accuracy") == "fraction"


def test_an_unknown_metric_is_refused():
    with pytest.raises(KeyError, match="no metric 'loss'; recorded"):
        plots.loss(ARMS, "loss")


def test_distances_are_in_jumps_and_the_control_in_the_shortest():
    ax = plots.distance(ARMS)
    radius = np.linalg.norm(ARMS.states - ARMS.optimum, axis=2)
    jumped = ARMS.step_size > 0
    unit = np.where(jumped, radius[:, 0], radius[jumped, 0].min())
    drawn = np.array([line.get_ydata() for line in ax.lines[: len(ARMS)]])
    assert drawn == pytest.approx(radius / unit[:, None])
    assert "weights end" in ax.get_title(loc="left")


def test_a_distance_needs_a_jump():
    with pytest.raises(ValueError, match="units of a jump"):
        plots.distance(ARMS.select(ARMS.step_size == 0))


def test_runs_that_diverged_are_kept_in_the_loss_and_left_out_of_the_distance():
    status = ARMS.status.astype("<U8")
    status[-1] = "diverged"
    states, loss = ARMS.states.copy(), ARMS.metrics["test_loss"].copy()
    states[-1, 3:], loss[-1, 3:] = np.nan, np.nan
    broken = replace(ARMS, states=states, metrics={"test_loss": loss}, status=status)
    axes = plots.loss(broken, "test_loss"), plots.distance(broken)
    lines = [sum(len(line.get_xdata()) == len(ARMS.epoch) for line in ax.lines) for ax in axes]
    assert lines == [len(ARMS), len(ARMS) - 1]
    assert all(canvas.png(ax.figure) for ax in axes)


def test_the_forest_draws_effect_and_interval_and_fills_what_differs():
    filled = {networks: forest_is_filled(compared(networks)) for networks in (4, 5)}
    assert filled == {4: [False, False], 5: [True, False]}  # of 4, p is .029 but corrected .057


def forest_is_filled(comparison):
    family = comparison.frame()
    ax = plots.comparison(comparison)
    for row, entry in family.iterrows():
        interval, dot = ax.lines[2 * row : 2 * row + 2]
        assert interval.get_xdata() == pytest.approx([entry["low"], entry["high"]])
        assert dot.get_xdata()[0] == entry["effect"]
        assert any(f"{entry['p_holm']:.3f}" == text.get_text() for text in ax.texts)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["depth", "width"]
    return [dot.get_markerfacecolor() != "white" for dot in ax.lines[1 : 2 * len(family) : 2]]


def test_the_forest_says_how_many_differ_and_how_small_p_can_get():
    ax = plots.comparison(compared())
    assert ax.get_title(loc="left").startswith("1 of 2 statistics differ between deep and flat")
    assert "smallest attainable p 0.0079" in ax.figure.get_supxlabel()


def test_the_finding_says_where_there_are_too_few_networks():
    said = contrasts.finding(compared(networks=3))
    assert said.startswith("0 of 2 statistics differ")
    assert "too few networks, corrected p is at least 0.2" in said


def test_more_than_two_groups_have_no_sides():
    ax = plots.comparison(compared(names=("deep", "flat", "wide")))
    assert "eta squared" in ax.get_xlabel()
    assert "between the groups" in ax.get_title(loc="left")


def test_the_fidelity_table_prints_its_numbers():
    ax = plots.fidelity(FIDELITY)
    assert [text.get_text() for text in ax.texts] == ["0.90", "0.40", "0.50", "0.80"]
    assert "1 by phate, 1 by pca" in ax.get_title(loc="left").replace("\n", " ")


def test_the_range_law_draws_networks_and_the_line_where_both_are_equal():
    x, y = np.array([1.0, 4.0, 9.0]), np.array([1.1, 4.0, 9.0])
    ax = plots.range_law(x, y)
    assert np.array_equal(offsets(ax), np.stack([x, y], axis=1))
    assert np.array_equal(ax.lines[0].get_xdata(), ax.lines[0].get_ydata())
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert "median 1, from 1 to 1.1 (3 networks)" in ax.get_title(loc="left").replace("\n", " ")


def showcase(seed):
    joined = embedded(True, seed=seed)
    return sheets.Showcase(embedded(True, None), joined, JUMPS.values("test_loss", True))


SHEETS = {
    "showcases": (lambda: sheets.showcases({"a 0": showcase(0), "b 0": showcase(1)}), 6 + 2),
    "networks": (
        lambda: sheets.networks({"a": {0: embedded(), 1: embedded()}, "b": {0: embedded()}}),
        4,
    ),
    "diagrams": (lambda: sheets.diagrams({"a 0": (DIAGRAMS, DIAGRAMS)}, "loss", "", "k 5"), 2),
    "trees": (lambda: sheets.trees({"a 0": SADDLES, "b 0": SADDLES}, {"a 0": SADDLES}), 4),
    "over time": (lambda: sheets.over_time({"a": ARMS, "b": ARMS}, ["test_loss"]), 4),
}


@pytest.mark.parametrize("name", SHEETS)
def test_sheets_hold_a_panel_for_each_result_and_pyplot_knows_none(name):
    build, panels = SHEETS[name]
    figures = plt.get_fignums()
    figure = build()
    assert len(figure.axes) == panels
    assert canvas.png(figure).startswith(b"\x89PNG")
    assert plt.get_fignums() == figures


def boxes(figure):
    """Where texts that must not run into each other ended up: titles, axis labels, notes."""
    renderer = figure.canvas.get_renderer()
    texts = [ax.title for ax in figure.axes] + [ax._left_title for ax in figure.axes]
    texts += [label for ax in figure.axes for label in (ax.xaxis.label, ax.yaxis.label)]
    texts += figure.texts
    found = [text.get_window_extent(renderer) for text in texts if text.get_text().strip()]
    return found + [legend.get_window_extent(renderer) for legend in figure.legends]


@pytest.mark.parametrize("name", SHEETS)
def test_titles_labels_and_legends_of_a_sheet_do_not_overlap(name):
    figure = SHEETS[name][0]()
    figure.canvas.draw()
    for one, other in itertools.combinations(boxes(figure), 2):
        assert not one.shrunk(0.98, 0.9).overlaps(other.shrunk(0.98, 0.9))


@pytest.mark.parametrize("name", ["showcases", "networks", "over time"])
def test_a_sheet_has_one_legend(name):
    figure = SHEETS[name][0]()
    assert len(figure.legends) == 1
    assert not any(ax.get_legend() for ax in figure.axes)


def heading(ax):
    return ax.get_title(loc="left").replace("\n", " ")


def test_each_path_is_a_line_in_the_colour_of_its_name():
    ax = plots.paths({"own": [FALLING, RISING], "other": RISING})
    drawn = [line.get_ydata().tolist() for line in ax.lines]
    expected = [path.metrics["train_loss"].tolist() for path in (FALLING, RISING, RISING)]
    assert drawn == expected
    colours = [line.get_color() for line in ax.lines]
    assert colours[0] == colours[1] != colours[2]
    assert legend(ax) == ["own (n = 2)", "other (n = 1)"]
    assert plots.paths([FALLING, RISING]).get_legend() is None


def test_from_five_paths_on_a_name_has_its_median():
    some = [line([2, k, 1, 0.5]) for k in (1.0, 1.2, 1.4, 5.0)]
    assert len(plots.paths({"a": some}).lines) == 4
    ax = plots.paths({"a": [*some, line([2, 9.0, 1, 0.5])]})
    assert len(ax.lines) == 6
    assert ax.lines[-1].get_ydata().tolist() == [2, 1.4, 1, 0.5]
    assert legend(ax) == ["a (n = 5, thick: median)"]


def test_names_are_told_apart_without_colour():
    ax = plots.paths({name: FALLING for name in "abcd"})
    assert len({line.get_linestyle() for line in ax.lines}) == 4


def test_twenty_lines_of_four_names_keep_their_text_apart():
    rng = np.random.default_rng(0)
    named = {
        name: [line(2 - np.sort(rng.random(51))) for _ in range(20)]
        for name in ("SGD 0.1", "Adam 0.03", "BatchNorm", "no decay")
    }
    ax = plots.paths(named)
    assert len(ax.lines) == 84
    ax.figure.canvas.draw()
    renderer = ax.figure.canvas.get_renderer()
    under = [ax.xaxis.label, ax.get_legend(), ax.figure._supxlabel]
    tops = [part.get_window_extent(renderer) for part in under]
    for one, other in itertools.combinations(tops, 2):
        assert not one.shrunk(0.98, 0.9).overlaps(other.shrunk(0.98, 0.9))


def test_the_title_counts_paths_that_never_rise():
    assert heading(plots.paths([FALLING, RISING, FALLING])) == (
        "train loss never rises by > 0.001 on 2 of 3 paths; largest min Δ 0.5"
    )
    assert heading(plots.paths(FALLING)) == "train loss never rises by > 0.001 on 1 of 1 path"
    hardly = [line([2, 1, 1 + rise, 0]) for rise in (1.8e-5, 9e-4, 1.1e-3)]
    assert heading(plots.paths(hardly)) == (
        "train loss never rises by > 0.001 on 2 of 3 paths; largest min Δ 0.0011"
    )
    assert heading(plots.paths({"own": FALLING, "other": [RISING, FALLING]})) == (
        "train loss never rises by > 0.001 on 1 of 1 (own), 1 of 2 (other) paths; "
        "largest min Δ 0.5"
    )
    many = {name: RISING for name in "abcde"}
    assert heading(plots.paths(many)).startswith("train loss never rises by > 0.001 on 0 of 5")
    accuracy = line([0.1, 0.5, 0.25, 0.9], "test_accuracy")
    assert heading(plots.paths(accuracy, "test_accuracy")) == (
        "test accuracy never falls by > 0.001 on 0 of 1 path; largest min Δ 0.25"
    )


def test_a_path_undefined_somewhere_is_drawn_and_counted_apart():
    lost = line([2, np.nan, 1, 0.5])
    ax = plots.paths([FALLING, lost])
    assert len(ax.lines) == 2
    assert heading(ax) == (
        "train loss never rises by > 0.001 on 1 of 2 paths; 1 undefined somewhere"
    )
    plots.paths([FALLING, line([2, np.inf, 1, 0.5])]).figure.canvas.draw()
    plots.spread([FALLING, line([2, np.inf, 1, 0.5])]).figure.canvas.draw()


def test_the_scale_is_logarithmic_only_where_paths_tower_above_their_ends():
    towering = line([2, 21, 1, 0.5])
    assert plots.paths(towering).get_yscale() == "log"
    assert plots.paths(line([2, 19, 1, 0.5])).get_yscale() == "linear"
    assert plots.paths(line([2, 21, 1, 0.0])).get_yscale() == "linear"  # 0 has no logarithm
    assert plots.paths([towering, line([30, 21, 1, 0.5])]).get_yscale() == "linear"
    assert plots.paths(line([2, 1, 1e-3, 1e-6])).get_yscale() == "linear"


def test_chance_is_marked_for_labels_only():
    error = np.full((4, 8), 0.5)
    loss = plots.paths(line([2, 1, 1, 1], error=error))
    assert loss.lines[-1].get_ydata()[0] == pytest.approx(np.log(8))
    assert loss.texts[0].get_text() == "log 8"
    wrong = plots.paths(line([0.9, 0.5, 0.1, 0], "test_error", error), "test_error")
    assert wrong.lines[-1].get_ydata()[0] == 1 - 1 / 8
    assert not plots.paths(FALLING).texts
    tested = replace(line([2, 1, 1, 1], "test_loss"), class_error={"test": error})
    assert plots.paths(tested, "test_loss").texts[0].get_text() == loss.texts[0].get_text()
    assert not plots.paths(replace(FALLING, class_error={})).texts
    squared = {"task": {"measures": "loss=squared_error"}}
    assert not plots.paths(line([2, 1, 1, 1], error=error, **squared)).texts


def test_axes_of_paths_carry_units():
    assert plots.paths(FALLING).get_ylabel() == "train loss (nats)"
    bare = replace(FALLING, provenance={})
    assert plots.paths(bare).get_ylabel() == "train loss"
    wrong = line([0.9, 0], "test_error")
    assert plots.paths(wrong, "test_error").get_ylabel() == "test error (fraction)"
    assert plots.paths(FALLING).get_xlabel() == "alpha, share of the way from start to end (1)"
    assert plots.paths(FALLING).figure.get_supxlabel() == "4 alphas, biases linear, others end"


def test_paths_without_the_metric_or_without_paths_are_refused():
    with pytest.raises(KeyError, match="no metric 'test_loss'; recorded: train_loss"):
        plots.paths(FALLING, "test_loss")
    for nothing in ([], {}, {"own": []}):
        with pytest.raises(ValueError, match="a picture needs a path"):
            plots.paths(nothing)


def test_the_spread_is_mean_and_standard_deviation():
    some = [line([2, k, 1, 0.5]) for k in (1.0, 2.0, 6.0)]
    ax = plots.spread({"random": some})
    assert ax.lines[0].get_ydata().tolist() == [2, 3, 1, 0.5]
    band = ax.collections[0].get_paths()[0].vertices
    at = band[np.isclose(band[:, 0], 1 / 3)][:, 1]
    assert at.max() == pytest.approx(3 + np.std([1, 2, 6]))
    assert at.min() == 1  # the mean minus the deviation is below the lowest path
    assert legend(ax) == ["random (n = 3)"]
    with pytest.raises(ValueError, match="paths of the same alphas, but those of 'a' differ"):
        plots.spread({"a": [FALLING, line([2, 1])]})


def test_classes_stand_in_the_order_in_which_they_turn_right():
    ax = plots.classes(line([1, 1, 1, 0], error=TURNING))
    assert legend(ax) == ["class 0", "class 2", "class 1"]  # 3 has no examples
    assert heading(ax) == (
        "half of class 0 is right beyond alpha 0, half of class 1, the last of 3, beyond 0.67"
    )
    for drawn, label in zip(ax.lines, (0, 2, 1), strict=True):
        assert drawn.get_ydata().tolist() == TURNING[:, label].tolist()
    with pytest.raises(ValueError, match="need class labels"):
        plots.classes(FALLING)
    with pytest.raises(KeyError, match="no errors of classes of split 'val'; recorded: train"):
        plots.classes(line([1, 1, 1, 0], error=TURNING), split="val")


def test_classes_of_test_examples_are_drawn_beside_their_own_mean():
    errors = {"train": TURNING, "test": TURNING[:, [1, 0, 2, 3]] / 2}
    mean = np.array([0.5, 0.4, 0.3, 0.2])
    metrics = {"train_error": 2 * mean, "test_error": mean}
    path = Path(np.linspace(0, 1, 4), metrics, errors, provenance=LABELLED)
    for split, order in (("train", [0, 2, 1]), ("test", [1, 0, 2])):
        ax = plots.classes(path, split=split)
        assert legend(ax) == [f"class {label}" for label in order] + ["all"]
        for drawn, label in zip(ax.lines, order, strict=False):
            assert drawn.get_ydata().tolist() == errors[split][:, label].tolist()
        assert ax.lines[3].get_ydata().tolist() == metrics[f"{split}_error"].tolist()
        assert ax.get_ylabel() == f"{split} error of a class (fraction)"


def test_classes_that_leave_the_numbers_have_gaps_and_are_counted():
    error = TURNING.copy()
    error[2, 1] = np.nan
    ax = plots.classes(line([1, 1, 1, 0], error=error))
    assert sorted(legend(ax)) == ["class 0", "class 1", "class 2"]
    assert heading(ax) == "1 of 3 classes are undefined somewhere"
    nowhere = plots.classes(line([1, 1, 1, 0], error=np.full((4, 3), np.nan)))
    assert heading(nowhere) == "all of 3 classes are undefined somewhere"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ([0], "half of class 2 is right beyond alpha 0.33, class 0 is at least half wrong"),
        ([0, 2], "half of class 1 is right beyond alpha 0.67, 2 of 3 classes are at least half"),
        ([0, 1, 2], "at least half of every class is wrong at the end"),
    ],
)
def test_classes_that_never_turn_right_are_told_apart(wrong, words):
    error = TURNING.copy()
    error[-1, wrong] = 0.5
    ax = plots.classes(line([1, 1, 1, 0], error=error))
    assert heading(ax).startswith(words) and heading(ax).endswith("wrong at the end")


def test_layers_are_drawn_in_order_and_the_whole_is_dashed():
    ax = plots.layers(ALL_BUT_ONE)
    assert legend(ax) == ["fc2", "conv", "all"]
    styles = [drawn.get_linestyle() for drawn in ax.lines]
    assert styles == ["-", "-", "--"] and ax.lines[2].get_color() == "black"
    assert ax.lines[1].get_ydata().tolist() == [9, 2, 0.6, 0.5]
    assert heading(ax) == (
        "with layer conv at its start the test loss is 9, the worst; with layer fc2 at its start "
        "1; at the end 0.5"
    )


def test_layers_that_move_while_the_others_rest_at_the_start_are_told_by_where_they_end():
    held = {
        name: line([9.0, 5.0, end], "test_loss", select=name, others="start")
        for name, end in (("fc1", 8.0), ("fc2", 3.0), ("fc3", 9.5))
    }
    ax = plots.layers({**held, "all": line([9.0, 3.0, 0.5], "test_loss", others="start")})
    assert heading(ax) == (
        "with only layer fc2 at its end the test loss is 3, the best; with only layer fc3 at its "
        "end 9.5; at the start 9"
    )
    right = {
        name: line([0.1, end], "test_accuracy", select=name, others="start")
        for name, end in (("fc1", 0.2), ("fc2", 0.8))
    }
    assert heading(plots.layers(right, "test_accuracy")).startswith(
        "with only layer fc2 at its end the test accuracy is 0.8, the best; with only layer fc1"
    )


def test_signals_stand_over_depth_and_those_below_zero_leave_gaps():
    ax = plots.signals(SIGNALS)
    assert ax.get_yscale() == "log"
    drawn = [drawn.get_ydata().tolist() for drawn in ax.lines]
    assert drawn[1:] == [[1.0, 0.5], [2.0, 2.0]] and np.isnan(drawn[0]).all()
    assert ax.lines[0].get_xdata().tolist() == [1, 2]
    assert legend(ax) == ["1", "0.5", "0"]
    assert heading(ax) == "at alpha 0.5 layer 1 holds 0.5 of its signal at the end, layer 2 0.25"


def joined(nodes, bent, straight, changed=None, metric="train_loss", **facts):
    """A polygonal chain through nodes in the plane, scored at its nodes."""
    rows = np.array(nodes, dtype=float)
    reached = np.append(0, np.cumsum(np.linalg.norm(np.diff(rows, axis=0), axis=1)))
    places = np.c_[1 - reached / reached[-1], reached / reached[-1]]
    scores = ({metric: np.array(values, dtype=float)} for values in (bent, straight))
    provenance = {"weights": rows.shape[1], "method": "hyperplane", **LABELLED, **facts}
    return Connector(rows, np.eye(len(rows)), places, *scores, changed, provenance)


CORNERS = [[0, 0, 0], [1, 1, 0], [2, 2, 0], [3, 0, 1], [4, 0, 0]]
CHANGED = np.array([[0, 0.2], [0.1, 0.2], [0.3, 0.4], [0.2, 0.1], [0.2, 0]])
BENT = joined(CORNERS, [0.1, 0.1, 0.3, 0.2, 0.2], [0.1, 1, 2, 1, 0.2], CHANGED)


def test_a_connector_is_drawn_beside_the_straight_line_with_its_nodes():
    ax = plots.connector(BENT)
    straight, bent, nodes = ax.lines
    assert straight.get_ydata().tolist() == [0.1, 1, 2, 1, 0.2]
    assert straight.get_linestyle() == "--" and bent.get_linestyle() == "-"
    assert bent.get_ydata().tolist() == nodes.get_ydata().tolist() == [0.1, 0.1, 0.3, 0.2, 0.2]
    np.testing.assert_array_equal(bent.get_xdata(), BENT.alphas)
    assert legend(ax) == ["straight line", "hyperplane connector", "nodes (5)"]
    assert heading(ax) == (
        "train loss rises by 1.8 from the higher end on the straight line, by 0.1 on the "
        f"connector, {BENT.length_ratio:.2f} times as long"
    )
    assert (ax.get_ylabel(), ax.get_yscale()) == ("train loss (nats)", "linear")


def test_points_that_are_no_nodes_are_not_marked():
    half = np.array([[1, 0, 0], [0.25, 0.5, 0.25], [0, 0, 1]])
    scores = {"train_loss": np.array([1.0, 2, 1])}
    places = np.array([[1, 0], [0.5, 0.5], [0, 1]])
    nodes = np.array([[0.0, 0], [1, 1], [2, 0]])
    curve = Connector(nodes, half, places, scores, scores, None, {"weights": 2})
    ax = plots.connector(curve)
    assert ax.lines[2].get_xdata().tolist() == [0, 1]
    assert legend(ax)[2] == "optima"


def test_a_connectors_scale_is_logarithmic_where_it_towers_above_its_ends():
    towering = joined(CORNERS, [0.1, 0.1, 0.3, 0.2, 0.1], [0.1, 1, 1.01, 1, 0.1])
    assert plots.connector(towering).get_yscale() == "log"
    without = replace(towering, metrics={"train_loss": np.array([0.1, 0, 0.3, 0.2, 0.1])})
    assert plots.connector(without).get_yscale() == "linear"  # 0 has no logarithm
    lost = replace(towering, straight_metrics={"train_loss": np.array([0.1, np.inf, 1, 1, 0.1])})
    plots.connector(lost).figure.canvas.draw()


def test_an_accuracy_falls_from_the_lower_end():
    found = joined(CORNERS, [0.9, 0.8, 0.6, 0.7, 0.8], [0.9, 0.5, 0.3, 0.5, 0.8],
                   metric="test_accuracy")  # fmt: skip
    ax = plots.connector(found, "test_accuracy")
    assert heading(ax).startswith(
        "test accuracy falls by 0.5 from the lower end on the straight line, by 0.2 on the"
    )
    assert ax.get_ylabel() == "test accuracy (fraction)"
    with pytest.raises(KeyError, match="no metric 'train_loss'; recorded: test_accuracy"):
        plots.connector(found)


SURFACE = Connector(
    np.zeros((3, 2)),
    np.eye(3)[[0, 1, 2, 0]],
    np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.2, 0.3, 0.5]]),
    {"train_loss": np.array([1.0, 2, 1, 1.5])},
    {"train_loss": np.array([1.0, 2, 1, 9])},
    None,
    {"weights": 2},
)


def test_a_surface_is_drawn_as_sorted_values():
    ax = plots.connector(SURFACE)
    straight, bent, top = ax.lines
    assert straight.get_ydata().tolist() == [1, 1, 2, 9]
    assert bent.get_ydata().tolist() == [1, 1, 1.5, 2]
    assert bent.get_xdata().tolist() == [0.125, 0.375, 0.625, 0.875]
    assert top.get_ydata()[0] == 2
    assert heading(ax) == (
        "train loss rises by 7 from the highest of 3 optima on the flat simplex, by 0 on the "
        "connector"
    )
    for draw in (plots.deviations, plots.label_change):
        with pytest.raises(ValueError, match="curve between 2 optima"):
            draw(SURFACE)


def test_deviations_are_cosines_from_minus_one_to_one():
    ax = plots.deviations(BENT)
    drawn = ax.images[0]
    # deviations from the chord, the first axis, are (1, 0), (2, 0) and (0, 1)
    np.testing.assert_allclose(drawn.get_array(), [[1, 1, 0], [1, 1, 0], [0, 0, 1]], atol=1e-12)
    assert drawn.get_clim() == (-1, 1)
    assert heading(ax) == "mean cosine of deviations: no pair within a half, 0.00 across"


def test_halves_are_told_apart_by_where_nodes_stand_on_the_chord():
    # nodes at 0.1, 0.2, 0.50005, 0.8: to rounding the third is in the middle and in no half
    nodes = [[0, 0, 0], [1, 1, 0], [2, 1, 0], [5.0005, 1, 1], [8, 3, 4], [10, 0, 0]]
    found = joined(nodes, [0] * 6, [0] * 6)
    np.testing.assert_allclose(found.half_cosines(), (1, 0.6))
    flat = joined([[0, 0], [1, 0], [2, 1], [10, 0]], [0] * 4, [0] * 4)
    assert np.isnan(flat.half_cosines()).all()
    plots.deviations(flat).figure.canvas.draw()


def test_label_changes_are_drawn_against_both_optima():
    ax = plots.label_change(BENT)
    assert [line.get_ydata().tolist() for line in ax.lines] == CHANGED.T.tolist()
    assert heading(ax) == "the optima differ in 0.2 of the labels; at most 0.4 change on the way"
    with pytest.raises(ValueError, match="need class labels"):
        plots.label_change(replace(BENT, changed=None))


def test_connectors_print_how_they_were_made():
    recipe = {"optimiser": "adam", "lr": 0.001, "epochs": 20}
    assert plots.connector(BENT).figure.get_supxlabel() == "hyperplane, 5 nodes, 5 points"
    found = joined(CORNERS, [0] * 5, [0] * 5, refine=True, recipe=recipe)
    assert plots.connector(found).figure.get_supxlabel() == (
        "hyperplane, refined, 5 nodes, 5 points, adam, rate 0.001, 20 epochs"
    )


def test_a_section_numbers_its_states_and_tells_its_range():
    ax = plots.section(PLANE)
    assert heading(ax) == "train loss: 0.01 to 5 in the plane"
    assert [text.get_text() for text in ax.texts] == ["1", "2", "3"]
    assert ax.figure.axes[1].get_ylabel() == "train loss (nats)"
    np.testing.assert_array_equal([line.get_xydata()[0] for line in ax.lines], PLANE.coordinates)
    with pytest.raises(KeyError, match="no metric 'f1'; scored: train_loss, test_accuracy"):
        plots.section(PLANE, "f1")


def test_a_section_leaves_white_what_is_not_finite():
    holed = np.array(PLANE.metrics["train_loss"])
    holed[0, 0] = np.inf
    ax = plots.section(replace(PLANE, metrics={"train_loss": holed}))
    assert heading(ax).endswith("to 5 in the plane")


def test_a_spectrum_divides_eigenvalues_at_the_cut():
    ax = plots.spectrum(SHARP)
    assert heading(ax) == "2 directions of curvature above 0.03 at a loss of 0.02"
    above, others, _ = ax.lines
    assert above.get_ydata().tolist() == [5, 1] and others.get_ydata().tolist() == [0.01, -0.2]


def test_names_with_dollars_are_written_as_they_are():
    figure = canvas.new_figure(3, 2)
    ax = figure.add_subplot(xscale="log")
    ax.plot([1, 1000], [0, 1], label="a $^$ b")
    ax.set_title("cost in $, not $x^$")
    ax.legend()
    assert canvas.png(figure).startswith(b"\x89PNG")
    assert ax.title.get_text() == "cost in $, not $x^$" and not ax.title.get_parse_math()
    assert any(label.get_parse_math() for label in ax.get_xticklabels())


def lines(ax):
    return [np.stack(found.get_data(), axis=1).tolist() for found in ax.lines]


def test_a_tree_has_a_line_up_from_each_lowest_state_and_each_end():
    ax = plots.disconnectivity(SADDLES)
    # the optimum, the end of run 0 on its slope up to 2.5, and the end of run 1 up to 4
    feet = sorted((low[1], high[1]) for low, high in lines(ax) if low[0] == high[0])
    assert feet == [(0.0, 2.5), (0.5, 4.0), (1.0, 2.5), (2.5, 4.0)]
    assert sorted(offsets(ax)[:, 1]) == [0.0, 0.5, 1.0]
    assert legend(ax) == ["jump of 0.5", "jump of 1", "optimum"]
    assert ax.get_title(loc="left") == "3 basins, total depth 5 nats"
    assert ax.get_ylabel() == "train loss (nats)"


def test_a_tree_over_zero_is_logarithmic_as_far_as_it_can_be():
    assert plots.disconnectivity(SADDLES, scale="log").get_yscale() == "symlog"
    assert plots.disconnectivity(SADDLES).get_yscale() == "linear"


def test_a_profile_is_as_high_as_the_ways_between_neighbours():
    ax = plots.profile(SADDLES)
    land = ax.patches[0].get_data().values
    order = SADDLES.tree.order
    assert land[1::2].tolist() == SADDLES.tree.values[order].tolist()
    assert land[2:-1:2].tolist() == SADDLES.tree.minimax[order[:-1], order[1:]].tolist()


def test_basins_are_told_apart_and_states_above_are_grey():
    ax = plots.basins(five_points(), SADDLES, 2.2)
    assert [len(found.get_offsets()) for found in scattered(ax)] == [1, 2, 1, 1]
    assert ax.get_title(loc="left") == "3 basins below 2.2, train loss (nats)"
    with pytest.raises(ValueError, match="other labels"):
        plots.basins(embedded(), SADDLES, 2.2)


def test_ways_back_are_drawn_by_step_size():
    ax = plots.back(SADDLES)
    assert [line[-1][1] for line in lines(ax)] == [6.5, 3.5, 4.0, 1.5]
    assert "climb 5.2 when straight and 2.5 at best (means of 2 runs)" in ax.get_title(
        loc="left"
    ).replace("\n", " ")


LONG = ("a name of a group that goes on and on until it has a hundred letters or so", "W" * 100)


@pytest.mark.parametrize("names", [("generalise", "memorise"), LONG])
def test_titles_labels_and_notes_stay_within_the_picture(names):
    ax = plots.comparison(compared(networks=2, names=names))
    figure = ax.figure
    texts = [t for t in ax.get_children() if isinstance(t, Text) and t.get_text()]
    titles = [text for text in texts if text.get_text() == ax.get_title(loc="left")]
    assert len(titles) == 1 and "too few networks" in " ".join(titles[0].get_text().split())
    for text in (*titles, ax.xaxis.label, *figure.texts):
        extent = text.get_window_extent()
        assert 0 <= extent.x0 and extent.x1 <= figure.bbox.width


def test_titles_beside_each_other_do_not_meet():
    figure = canvas.new_figure(8, 3)
    for ax in figure.subplots(1, 2):
        ax.set_title("a finding " * 7, loc="left")
    before = canvas.png(figure)
    figure.draw_without_rendering()
    left, right = figure.axes
    title = next(t for t in left.get_children() if getattr(t, "get_text", str)().startswith("a f"))
    assert title.get_window_extent().x1 < right.bbox.x0
    assert canvas.png(figure) == before
