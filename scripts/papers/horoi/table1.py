"""Table 1 of arXiv:2102.00485 in small: what do samples of the landscape tell of a network?

From the training loss and accuracy at 640 points around each of 90 networks, classifiers predict
its generalisation (quintile of the test loss), its weight decay and its data size. A network is
one row, so a fold holds it whole. Jump and retrain is compared with rays, with a grid and with
itself after the networks were shuffled.
"""

from dataclasses import asdict

import numpy as np
import pandas as pd
from evidence.cells import over
from evidence.contests import Array
from evidence.figure import Flags, Made
from evidence.judging import adjusted, entry
from evidence.panels import head, label
from evidence.rows import Rows, effect
from matplotlib.axes import Axes
from numpy.typing import NDArray
from papers.horoi.conditions import RETRAINING, conditions
from sklearn.base import ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from jumpretrain.plots import canvas

SMALLEST = 0.03
SAMPLERS = {  # colours, and the accuracies of the paper's table in per cent
    "jump and retrain": ("#0072B2", (39.2, 58.2, 72.1)),
    "rays": ("#E69F00", (31.8, 55.7, 67.6)),
    "grid": ("#009E73", (30.1, 51.1, 62.3)),
    "shuffled": ("#999999", (20.7, 38.9, 52.7)),
}
OURS, *OTHERS, _ = SAMPLERS
TARGETS = {
    "generalisation (5 classes)": 5,
    "weight decay (3 classes)": 3,
    "data size (2 classes)": 2,
}
Found = dict[str, dict[str, Array]]


def make(asked: Flags) -> Made:
    table, sampled = conditions(asked)
    features = {name: np.stack([one[name] for one in sampled]) for name in (OURS, *OTHERS)}
    features["shuffled"] = features[OURS][np.random.default_rng(0).permutation(len(table))]
    targets, repeats = labels(table), 1 if asked.quick else 4
    jobs = [(features[s], labelled, repeats) for labelled in targets.values() for s in SAMPLERS]
    results = iter(over(asked, hits, jobs, "classifying"))
    found = {target: {sampler: next(results) for sampler in SAMPLERS} for target in targets}
    claims, seeds = judged(found), np.unique(table["seed"]).tolist()
    figure = canvas.new_figure(12.5, 5.6)
    for column, (ax, target) in enumerate(zip(figure.subplots(1, 3), found, strict=True)):
        panel(ax, target, found[target], column, claims[2 * column : 2 * column + 2])
    better = sum(claim["verdict"] == "supported" for claim in claims)
    finding = (
        f"Jump and retrain beats the other samplers by {100 * SMALLEST:.0f} points or more "
        f"in {better} of {len(claims)} comparisons"
    )
    note = (
        "dot: a classifier (7, default settings); bar: their mean; black: the paper's 108 CIFAR "
        f"networks and augmentation for data size; n = {len(table)} digits networks, seeds a "
        f"cell: {len(seeds)}"
    )
    head(figure, finding, claims, note)
    return figure, {
        "data": "digits",
        "networks": len(table),
        "seeds": seeds,
        "retraining": asdict(RETRAINING),
        "points": {name: values.shape[1] // 2 for name, values in features.items()},
        "classifiers": list(classifiers()),
        "accuracy": {
            target: {sampler: shares.mean(1).tolist() for sampler, shares in row.items()}
            for target, row in found.items()
        },
        "claims": claims,
    }


def classifiers() -> dict[str, ClassifierMixin]:
    """Name the classifiers; all with their default settings, scaled inside each fold."""
    return {
        "logistic regression": LogisticRegression(max_iter=2000),
        "nearest neighbours": KNeighborsClassifier(),
        "support vectors": SVC(),
        "random forest": RandomForestClassifier(100, random_state=0),
        "extra trees": ExtraTreesClassifier(100, random_state=0),
        "naive Bayes": GaussianNB(),
        "discriminant on 10 components": make_pipeline(
            PCA(10, random_state=0), LinearDiscriminantAnalysis()
        ),
    }


def labels(table: pd.DataFrame) -> dict[str, NDArray[np.int64]]:
    quintile = np.argsort(np.argsort(table["test_loss"].to_numpy())) * 5 // len(table)
    decay, size = (
        np.unique(table[name], return_inverse=True)[1] for name in ("weight_decay", "data_size")
    )
    return dict(zip(TARGETS, (quintile, decay, size), strict=True))


def hits(features: Array, target: NDArray[np.int64], repeats: int) -> Array:
    """Give the share of predictions that are right, by classifier and network left out (C, n)."""
    folds = RepeatedStratifiedKFold(
        n_splits=min(5, np.bincount(target).min()), n_repeats=repeats, random_state=0
    )
    table = np.zeros((len(classifiers()), len(target)))
    for fitted, left in folds.split(features, target):
        for row, machine in enumerate(classifiers().values()):
            model = make_pipeline(StandardScaler(), machine).fit(features[fitted], target[fitted])
            table[row, left] += model.predict(features[left]) == target[left]
    return table / repeats


def paired(first: Array, second: Array) -> tuple[float, float, float, float]:
    """Compare two samplers by network: mean gap, interval (resampled), p (sign flips)."""
    gaps, rng = first.mean(0) - second.mean(0), np.random.default_rng(0)
    flips = rng.choice([-1, 1], size=(9999, len(gaps))) * gaps
    p = (1 + (np.abs(flips.mean(1)) >= abs(gaps.mean()) - 1e-12).sum()) / 10_000
    means = gaps[rng.integers(len(gaps), size=(9999, len(gaps)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(gaps.mean()), float(low), float(high), float(p)


def judged(found: Found) -> Rows:
    """Compare jump and retrain with the other samplers on each target."""
    claims = []
    for target, sampler in [(target, sampler) for target in found for sampler in OTHERS]:
        name = "horoi-H1" if target.startswith("generalisation") else "horoi-H2"
        claim = f"jump and retrain predicts {target.split(' (')[0]} better than {sampler}"
        how = "difference in accuracy, paired by network, mean over classifiers"
        *gap, p = paired(found[target][OURS], found[target][sampler])
        count = len(found[target][sampler][0])
        claims.append(entry(name, claim, how, *gap, count, SMALLEST, p=p))
    return adjusted(claims)


def panel(ax: Axes, target: str, found: dict[str, Array], column: int, claims: Rows) -> None:
    for place, (sampler, (colour, paper)) in enumerate(SAMPLERS.items()):
        shares = 100 * found[sampler].mean(1)
        ax.plot(
            place + np.linspace(-0.18, 0.18, len(shares)), shares, "o", color=colour, alpha=0.75
        )
        ax.hlines(shares.mean(), place - 0.32, place + 0.32, color=colour, lw=3)
        ax.plot(place + 0.4, paper[column], "_", color="black", ms=14, mew=1.5)
    ax.lines[-1].set_label("paper")
    ax.set_xticks(range(4), [name.replace(" and ", "\nand ") for name in SAMPLERS])
    ax.axhline(100 / TARGETS[target], color="black", lw=0.8, ls=":", label="chance")
    rays, grid = (effect(claim, "+.0f", 100) for claim in claims)
    title, up = f"{target}:\nminus rays {rays},\nminus grid {grid}", "networks predicted right"
    label(ax, "", f"{up} when left out (%)", title, fontsize=8, loc="upper right")
