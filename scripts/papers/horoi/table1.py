"""Table 1 of arXiv:2102.00485 in small: what do samples of the landscape tell of a network?

From the training loss and accuracy at 640 points around each of 90 networks, classifiers predict
its generalisation (quintile of the test loss), its weight decay and its data size. A network is
one row, so a fold holds it whole. Jump and retrain is compared with rays, with a grid and with
itself after the networks were shuffled.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from evidence.figure import Flags, Made
from matplotlib.figure import Figure
from numpy.typing import NDArray
from papers.horoi.conditions import RETRAINING, Case, cases
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

import jumpretrain as jr
from jumpretrain.comparison.hypothesis_tests import holm, verdict
from jumpretrain.execution.execution import spread

SMALLEST_EFFECT = 0.03
SAMPLERS = ("jump and retrain", "rays", "grid", "shuffled")
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#999999")
TARGETS = {
    "generalisation (5 classes)": 5,
    "weight decay (3 classes)": 3,
    "data size (2 classes)": 2,
}
PAPER = {
    "jump and retrain": (39.2, 58.2, 72.1),
    "rays": (31.8, 55.7, 67.6),
    "grid": (30.1, 51.1, 62.3),
    "shuffled": (20.7, 38.9, 52.7),
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


def labels(networks: list[Case]) -> dict[str, NDArray[np.int64]]:
    losses = np.array([network.test_loss for network in networks])
    quintile = np.argsort(np.argsort(losses)) * 5 // len(losses)
    decay = np.unique([n.weight_decay for n in networks], return_inverse=True)[1]
    size = np.unique([n.data_size for n in networks], return_inverse=True)[1]
    return dict(zip(TARGETS, (quintile, decay, size), strict=True))


def hits(
    features: NDArray[np.float64], target: NDArray[np.int64], repeats: int
) -> NDArray[np.float64]:
    """Measure how often each network is predicted right when it is left out of the fitting.

    Returns:
        A share for each classifier and network (C, n).
    """
    folds = RepeatedStratifiedKFold(
        n_splits=min(5, np.bincount(target).min()), n_repeats=repeats, random_state=0
    )
    table = np.zeros((len(classifiers()), len(target)))
    for fitted, left in folds.split(features, target):
        for row, machine in enumerate(classifiers().values()):
            model = make_pipeline(StandardScaler(), machine).fit(features[fitted], target[fitted])
            table[row, left] += model.predict(features[left]) == target[left]
    return table / repeats


def paired(first: NDArray[np.float64], second: NDArray[np.float64]) -> dict[str, float]:
    """Compare two samplers by network: sign flips for p, resampled networks for the interval.

    Returns:
        The mean difference in accuracy with its 95 % interval and p.
    """
    gaps, rng = first.mean(0) - second.mean(0), np.random.default_rng(0)
    flips = rng.choice([-1, 1], size=(9999, len(gaps))) * gaps
    p = (1 + (np.abs(flips.mean(1)) >= abs(gaps.mean()) - 1e-12).sum()) / 10_000
    means = gaps[rng.integers(len(gaps), size=(9999, len(gaps)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"effect": float(gaps.mean()), "low": float(low), "high": float(high), "p": float(p)}


def make(asked: Flags) -> Made:
    networks = cases(asked)
    repeats = 1 if asked.quick else 4
    features = {name: np.stack([n.features[name] for n in networks]) for name in SAMPLERS[:3]}
    order = np.random.default_rng(0).permutation(len(networks))
    features["shuffled"] = features["jump and retrain"][order]
    targets = labels(networks)
    jobs = [(features[s], target, repeats) for target in targets.values() for s in SAMPLERS]
    results = iter(spread(hits, jobs, jr.Execution(n_jobs=asked.jobs), "classifying"))
    found = {target: {sampler: next(results) for sampler in SAMPLERS} for target in targets}
    claims = judge(found)
    numbers = {
        "data": "digits",
        "networks": len(networks),
        "seeds": sorted({network.seed for network in networks}),
        "retraining": asdict(RETRAINING),
        "points": {name: features[name].shape[1] // 2 for name in SAMPLERS},
        "classifiers": list(classifiers()),
        "accuracy": {
            target: {sampler: table.mean(1).tolist() for sampler, table in row.items()}
            for target, row in found.items()
        },
        "claims": claims,
    }
    return draw(found, claims, networks), numbers


def judge(found: dict[str, dict[str, NDArray[np.float64]]]) -> list[dict[str, object]]:
    """Compare jump and retrain with the other samplers on each target."""
    pairs = [(t, s) for t in found for s in ("rays", "grid")]
    rows = [paired(found[t]["jump and retrain"], found[t][s]) for t, s in pairs]
    adjusted = holm(np.array([row["p"] for row in rows]))
    return [
        {
            "id": "horoi-H1" if target.startswith("generalisation") else "horoi-H2",
            "claim": f"jump and retrain predicts {target.split(' (')[0]} better than {sampler}",
            "statistic": "difference in accuracy, paired by network, mean over classifiers",
            "effect": row["effect"],
            "interval": [row["low"], row["high"]],
            "n": len(found[target][sampler][0]),
            "smallest_effect": SMALLEST_EFFECT,
            "expected": 1,
            "p": row["p"],
            "p_holm": float(p),
            "verdict": verdict(row["low"], row["high"], SMALLEST_EFFECT),
        }
        for (target, sampler), row, p in zip(pairs, rows, adjusted, strict=True)
    ]


def draw(
    found: dict[str, dict[str, NDArray[np.float64]]],
    claims: list[dict[str, object]],
    networks: list[Case],
) -> Figure:
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    for column, (ax, target) in enumerate(zip(figure.subplots(1, 3), found, strict=True)):
        for place, sampler in enumerate(SAMPLERS):
            shares = 100 * found[target][sampler].mean(1)
            spots = place + np.linspace(-0.18, 0.18, len(shares))
            ax.plot(spots, shares, "o", color=COLOURS[place], alpha=0.75)
            ax.hlines(shares.mean(), place - 0.32, place + 0.32, color=COLOURS[place], lw=3)
            paper = PAPER[sampler][column]
            label = "paper" if place == 0 else None
            ax.plot(place + 0.4, paper, "_", color="black", ms=14, mew=1.5, label=label)
        ax.axhline(100 / TARGETS[target], color="black", lw=0.8, ls=":", label="chance")
        ax.set_xticks(range(4), [s.replace(" and ", "\nand ") for s in SAMPLERS])
        ax.set_ylabel("networks predicted right when left out (%)")
        ours = [c for c in claims if target.split(" (")[0] in str(c["claim"])]
        ax.set_title(
            f"{target}: minus rays {gap(ours[0])},\nminus grid {gap(ours[1])}", fontsize=9
        )
        ax.legend(fontsize=8, loc="upper right", frameon=False)
    verdicts = [str(claim["verdict"]) for claim in claims]
    figure.suptitle(
        f"Jump and retrain beats the other samplers by {100 * SMALLEST_EFFECT:.0f} points or more "
        f"in {verdicts.count('supported')} of {len(verdicts)} comparisons"
    )
    figure.supxlabel(
        f"dot: a classifier (7, default settings); bar: their mean; black: the paper's 108 CIFAR "
        f"networks and augmentation for data size; n = {len(networks)} digits networks, "
        f"seeds a cell: {len({network.seed for network in networks})}",
        fontsize=8,
    )
    return figure


def gap(claim: dict[str, object]) -> str:
    low, high = claim["interval"]  # type: ignore[misc]
    return f"{100 * claim['effect']:+.0f} [{100 * low:+.0f}, {100 * high:+.0f}]"  # type: ignore[operator]
