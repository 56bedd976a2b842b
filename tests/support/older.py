"""What the folders in `folders_0_5_0` hold, in words that release 0.5.0 understands as well."""

from pathlib import Path

import numpy as np

import jumpretrain as jr

MADE = Path(__file__).parent / "folders_0_5_0"
ALONE = jr.Execution(chunk=1, checkpoint=1, progress=False)
RECIPE = jr.Recipe(epochs=3, lr=0.05, batch_size=16)
SHORT = jr.Recipe(epochs=2, lr=0.05, batch_size=16, record_every=0, record_early=False)
TASK = "support.older:task"
SURVEY = {"task": TASK, "seeds": 1, "training": SHORT, "alphas": 3}
METHODS = ("hyperplane", "bezier")
JUNCTION = {"task": TASK, "seeds": 2, "training": SHORT, "recipe": SHORT, "inner": 2, "each": 2}


def task(seed=0, group="a"):
    rng = np.random.default_rng((seed, len(group)))
    x = rng.integers(-3, 4, (40, 6)).astype(np.float32)
    y = (x[:, 0] > x[:, 1]).astype(np.int64) + (x[:, 2] > 0)
    data = jr.Dataset(x[:32], y[:32], x[32:], y[32:])
    return jr.Task(lambda: jr.models.mlp((6,), 3, hidden=(4,)), data)


def starts(count):
    """Draw states whose bits are the same on every processor.

    Returns:
        States (count, 43).
    """
    rng = np.random.default_rng(count)
    return rng.integers(-64, 65, (count, 43)).astype(np.float32) / 128


def sample(folder=None):
    choices = {"step_sizes": (0.5, 1.0), "directions": 2, "folder": folder, "execution": ALONE}
    return jr.sample(task(), starts(1)[0], RECIPE, **choices)


def train(folder=None, storage="half"):
    execution = jr.Execution(progress=False, storage=storage)
    return jr.train(task(), RECIPE, [0, 1], starts(2), folder, execution)


def cycles(folder=None):
    execution = jr.Execution(progress=False)
    return jr.cycles(task(), SHORT, [0, 1], 2, starts(2), folder, execution)


def study():
    return jr.Study(
        task=TASK,
        groups=("a", "bb"),
        seeds=2,
        training=SHORT,
        retraining=RECIPE,
        step_sizes=(0.5, 1.0),
        directions=2,
        knn=3,
        k=3,
    )
