"""Settings that cannot be carried out are refused when they are made, in one line."""

import math
from pathlib import Path

import pytest

import jumpretrain as jr
from jumpretrain.studies.connect import ConnectionStudy
from jumpretrain.studies.design import folder_name
from jumpretrain.studies.interpolate import InterpolationStudy

NAN, INF, HUGE = math.nan, math.inf, 10**18
STUDIES = [
    {"step_sizes": (-1.0, 0.5)}, {"step_sizes": (0.5, 0.5)}, {"step_sizes": (0.5, INF)},
    {"step_sizes": (NAN, 0.5)}, {"step_sizes": (0.5, 1e300)}, {"step_sizes": ()},
    {"step_sizes": (0.0,)},
    {"order_seed": -1}, {"order_seed": HUGE}, {"seed": -1}, {"seed": 2**32},
    {"knn": 0}, {"knn": -3}, {"knn": HUGE}, {"k": 0}, {"k": -1}, {"k": HUGE}, {"t": 0}, {"t": -5},
    {"t": 10**10}, {"crop": -2}, {"train_size": 0}, {"train_size": -1}, {"test_size": 0},
    {"seeds": 1}, {"seeds": 0}, {"seeds": -1}, {"seeds": HUGE},
    {"directions": 0}, {"directions": -1}, {"directions": HUGE},
    {"directions": 1, "step_sizes": (1.0,)},
    {"groups": ()}, {"groups": ("a",)}, {"groups": ("a", "a")}, {"groups": ("a", "A")},
    {"groups": ("a", "")}, {"groups": ("a", " ")}, {"groups": ("a", "b/c")},
    {"groups": ("a", "b\\c")}, {"groups": ("a<", "a%3C")}, {"groups": ("a", ".\t")},
    {"groups": ("a", "b\n")}, {"groups": ("a", "b\0")}, {"groups": ("a", "b" * 101)},
    {"groups": ("a", "\udc80")}, {"groups": ("a", "con.x")}, {"groups": ("a", "NUL")},
    {"groups": ("a", "b", "c")}, {"groups": ("\u00e9", "e\u0301")},
    {"noise": (0.0, 1.5)}, {"noise": (-0.1, 1.0)}, {"noise": (NAN, 1.0)}, {"noise": ()},
    {"probes": ()}, {"probes": ("common", "common")}, {"model": "vgg"}, {"model": ""},
    {"trainings": {"other": jr.Recipe()}}, {"task": "a:b", "noise": (0.0, 0.5)},
    {"retraining": jr.Recipe(epochs=10**5)},
    {"retraining": jr.Recipe(epochs=1)}, {"retraining": jr.Recipe(record_every=0)},
    {"retraining": jr.Recipe(epochs=2, record_early=False), "k": 48},
    {"distance": "manhattan"}, {"centre": "origin"}, {"connect": "all"}, {"t": "knee"},
]  # fmt: skip
RECIPES = [
    {"epochs": 0}, {"epochs": -1}, {"epochs": HUGE}, {"lr": 0.0}, {"lr": -0.1}, {"lr": NAN},
    {"lr": INF}, {"momentum": 1.0}, {"momentum": -0.1}, {"momentum": NAN}, {"weight_decay": -1.0},
    {"weight_decay": INF}, {"batch_size": 0}, {"batch_size": -8}, {"record_every": -1},
    {"milestones": (0.5, 0.25)}, {"milestones": (1.5,)}, {"milestones": (NAN,)}, {"push": -1.0},
    {"push": NAN}, {"radius": -1.0}, {"optimiser": "lbfgs"}, {"schedule": "linear"},
]  # fmt: skip
LINES = [
    {"seeds": 0}, {"seeds": -1}, {"seeds": HUGE}, {"random": -1}, {"random": HUGE},
    {"noise": -0.1}, {"noise": NAN}, {"alphas": 2}, {"alphas": 0}, {"alphas": -1},
    {"alphas": HUGE}, {"alphas": ()}, {"alphas": (0.0, 0.5)}, {"alphas": (0.0, NAN, 1.0)},
    {"alphas": (0.0, 0.5, 0.5, 1.0)}, {"alphas": (0.0, 1.0, 0.5)}, {"biases": ()},
    {"biases": ("linear", "linear")}, {"biases": ("bent",)}, {"scale": 0.0}, {"scale": -1.0},
    {"scale": NAN}, {"scale": INF}, {"scheme": "normal"}, {"trained_biases": "first"},
    {"hidden": (0,)}, {"hidden": (-5,)}, {"hidden": (HUGE,)}, {"hidden": (8,), "model": "lenet"},
    {"start": Path("a.pt")}, {"end": Path("a.pt")}, {"train_size": 0}, {"group": "a/b"},
    {"group": ""}, {"model": "vgg", "scale": 2.0}, {"task": "a:b", "scale": 2.0},
]  # fmt: skip
CONNECTORS = [
    {"seeds": 1}, {"seeds": 0}, {"seeds": 12}, {"seeds": HUGE}, {"noise": 2.0}, {"inner": 0},
    {"inner": HUGE}, {"each": 1}, {"each": HUGE}, {"rounds": -1}, {"rounds": HUGE},
    {"tolerance": -0.1}, {"tolerance": NAN}, {"tolerance": INF}, {"seed": -1}, {"seed": HUGE},
    {"method": "spline"}, {"method": "bezier", "refine": True}, {"method": "bezier", "seeds": 3},
    {"networks": (Path("a.pt"),)}, {"networks": (Path("a.pt"),) * 12}, {"group": "a/b"},
    {"train_size": -4}, {"test_size": 0}, {"model": "vgg"},
]  # fmt: skip
EXECUTIONS = [
    {"n_jobs": 0}, {"n_jobs": -2}, {"chunk": 0}, {"chunk": -1}, {"checkpoint": -1},
    {"mode": "vmap"}, {"storage": "quarter"},
]  # fmt: skip
KINDS = {
    jr.Study: STUDIES,
    jr.Recipe: RECIPES,
    InterpolationStudy: LINES,
    ConnectionStudy: CONNECTORS,
    jr.Execution: EXECUTIONS,
}
CASES = [(kind, change) for kind, changes in KINDS.items() for change in changes]


@pytest.mark.parametrize(
    ("kind", "change"), CASES, ids=[f"{k.__name__} {str(c)[:50]!a}" for k, c in CASES]
)
def test_settings_that_would_fail_later_are_refused_when_they_are_made(kind, change):
    with pytest.raises((ValueError, TypeError)) as refusal:
        kind(**change)
    said = str(refusal.value)
    assert "\n" not in said and len(said) < 400
    words = (
        *change,
        *"_".join(change).split("_"),
        "jump",
        "network",
        "group",
        "point",
        "snapshot",
    )
    named = any(word.rstrip("s") in said for word in words)
    assert named or kind is ConnectionStudy


def test_what_is_unusual_but_sound_is_taken():
    jr.Study(groups=("=1+1", "-x"), step_sizes=(1.0, 0.5), directions=1, k=20)
    jr.Study(directions=2, step_sizes=(0.5,), retraining=jr.Recipe(epochs=2), k=5, knn=4, t=1)
    jr.Study(seeds=10_000, seed=2**32 - 1, order_seed=2**32 - 1, train_size=1, crop=3)
    jr.Recipe(epochs=10**9, record_every=0, batch_size=10**9, milestones=())
    InterpolationStudy(alphas=(0.0, 1e-9, 1.0), hidden=(1,), random=10_000)
    ConnectionStudy(seeds=11, inner=1, each=2, rounds=0, tolerance=0.0)


def test_a_run_has_the_snapshots_that_its_recipe_says_and_those_of_the_first_epoch():
    for epochs, every in ((1, 1), (5, 2), (6, 2), (7, 0), (3, 9)):
        recipe = jr.Recipe(epochs=epochs, record_every=every, record_early=False)
        assert recipe.snapshots == len(recipe.record_steps(batches=4))
        early = jr.Recipe(epochs=epochs, record_every=every)
        assert len(early.record_steps(batches=5)) == recipe.snapshots + 3


def test_folders_of_groups_have_names_that_all_systems_allow():
    assert folder_name("generalise") == "generalise" and folder_name("=1+1") == "=1+1"
    assert folder_name('lr<0.1:"a|b?*>') == "lr%3C0.1%3A%22a%7Cb%3F%2A%3E"
    jr.Study(groups=("lr<0.1", "lr>0.1"))
