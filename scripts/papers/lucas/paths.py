"""The training loss on the straight line from initialisation to solution, for many networks.

After the overlays of arXiv:2104.11044: fully connected classifiers and small residual networks
with BatchNorm (red) and without (blue), residual networks that start as the identity, Fixup's
(green) among them, an autoencoder with a bottleneck, and an LSTM and a transformer that tell the
next character of the descriptions of scikit-learn's data. Networks that did not train are counted,
not drawn. After a review, having seen the numbers: a group of which fewer than 20 of the first
seeds trained gets as many seeds again; learning rates and optimisers are also compared over all
networks that have an end, as most that did not train are at the larger rate, and rates also over
kinds and optimisers alone of which networks trained at both.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from evidence import panels
from evidence.cells import recipe, shared
from evidence.figure import Flags, Made, device
from evidence.rows import Row, Rows
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from papers.lucas import delta
from papers.lucas import networks as lucas
from papers.lucas.distance import far
from scipy.stats import binomtest
from sklearn import datasets

import jumpretrain as jr
from jumpretrain.comparison.hypothesis_tests import delta_interval

COLOURS = {"BatchNorm": "#D55E00", "Fixup": "#009E73"}
BLUE = "#0072B2"
RESIDUAL = "residual network"
IDENTITY = f"{RESIDUAL} started as the identity"
KINDS = {"none": "no normalisation", "batch": "BatchNorm"}
ENOUGH = 20  # trained networks that a group shall have
TRAINED = {"images": 1.0, "text": 1.5}
"""Final training loss, in nats, up to which residual networks (the released code's) and language
models (chosen: half of what letter frequencies alone give) count as trained."""
LENGTH = 16  # characters that a language model sees
LARGER = "the larger of two learning rates has larger min Delta"
ADAM = "Adam has larger min Delta than SGD, all panels"
Rates = tuple[float, float, float, float]  # a slower and a faster one of SGD, then of Adam
Tables = Mapping[tuple[str, str], pd.DataFrame]  # networks by panel and group
Groups = dict[tuple[str, str], list[lucas.Cell]]  # cells by panel and group


def make(asked: Flags) -> Made:
    place = shared(asked)
    kinds = classifiers(asked), autoencoders(asked), sequences(asked), residual(asked)
    groups = widened(place, {key: some for kind in kinds for key, some in kind.items()})
    cells = [cell for some in groups.values() for cell in some]
    table = lucas.measured(place, cells[::-1])
    tables = {key: of(table, some) for key, some in groups.items()}
    claims = judge(tables)
    return draw(asked, tables, claims), {
        "data": sorted({" ".join(cell.task.data.history) for cell in cells}),
        "recipes": {cell.name: asdict(cell.recipe) for cell in cells},
        "thresholds": {cell.name: cell.limit for cell in cells},
        "seeds": {cell.name: [cell.first, cell.first + cell.seeds - 1] for cell in cells},
        "groups": [{"panel": k[0], "group": k[1], **shares(some)} for k, some in tables.items()],
        "rates": by_rate(table),
        "distinct": distinct(place, table),
        "claims": claims,
        "networks": lucas.rows(table, curves=True),
    }


def of(table: pd.DataFrame, some: Sequence[lucas.Cell]) -> pd.DataFrame:
    return table[table["cell"].isin([cell.name for cell in some])]


def widened(asked: Flags, groups: Groups) -> Groups:
    """Give the cells of groups of which too few networks trained as many seeds again."""
    table = lucas.measured(asked, [cell for some in groups.values() for cell in some][::-1])
    wider = {}
    for key, some in groups.items():
        few = not asked.quick and of(table, some)["trained"].sum() < ENOUGH
        more = [replace(cell, name=f"{cell.name}-more", first=cell.seeds) for cell in some]
        wider[key] = [*some, *more] if few else some
    return wider


def chosen(rates: Rates, quick: bool) -> list[tuple[str, float, bool]]:
    """List optimisers with their rates, and whether it is the faster; quickly, one of each."""
    several = list(zip(("sgd", "sgd", "adam", "adam"), rates, (False, True) * 2, strict=True))
    return several[::3] if quick else several


def cells(
    name: str, task: jr.Task, rates: Rates, way: Callable[..., jr.Recipe], most: float, quick: bool
) -> list[lucas.Cell]:
    """Describe a cell for each optimiser and learning rate, trained at a loss of `most`."""
    shared = 3 if quick else 5, lucas.fitted(quick, most), False, 11 if quick else 51
    found = []
    for optimiser, lr, faster in chosen(rates, quick):
        facts = {"optimiser": optimiser, "lr": lr, "faster": faster, "network": name}
        title, trained = f"{name}-{optimiser}-{lr:g}", way(lr=lr, optimiser=optimiser)
        found.append(lucas.Cell(title, facts, task, trained, *shared))
    return found


def classifiers(asked: Flags) -> Groups:
    groups: Groups = {("fully connected classifier", name): [] for name in KINDS.values()}
    rates = chosen((0.03, 0.1, 0.001, 0.01), asked.quick)
    for (key, some), (optimiser, lr, faster) in product(groups.items(), rates):
        cell = lucas.classifier(asked.quick, optimiser, lr, key[1] == "BatchNorm")
        facts = {**cell.facts, "faster": faster, "network": "classifier"}
        some.append(replace(cell, facts=facts))
    return groups


def autoencoders(asked: Flags) -> Groups:
    images = lucas.images(asked.quick)
    data = replace(images, train_y=images.train_x, test_y=images.test_x)
    hidden, code = ((32,), 4) if asked.quick else ((128,), 8)
    build = partial(jr.models.autoencoder, images.train_x.shape[1:], hidden=hidden, code=code)
    task = jr.Task(build, data, loss=jr.measures.squared_error, device=device())
    way = partial(recipe, 20 if asked.quick else 100, batch=100)
    threshold = float(images.train_x.var(axis=0).mean()) / 2
    some = cells("autoencoder", task, (0.3, 1.0, 0.001, 0.01), way, threshold, asked.quick)
    return {(f"autoencoder, bottleneck of {code}", ""): some}


def sequences(asked: Flags) -> Groups:
    data, tokens = characters(asked.quick)
    width, epochs = (16, 2) if asked.quick else (32, 50)
    way = partial(recipe, epochs, batch=100)
    lstm = partial(jr.models.lstm, tokens, tokens, width=width)
    transformer = partial(jr.models.transformer, tokens, tokens, LENGTH, width=width)
    groups = {}
    for name, build, rates in (
        ("LSTM", lstm, (0.3, 1.0, 0.01, 0.03)),
        ("transformer", transformer, (0.1, 0.3, 0.003, 0.01)),
    ):
        task = jr.Task(build, data, device=device())
        key = f"{name}, next character", ""
        groups[key] = cells(name.lower(), task, rates, way, TRAINED["text"], asked.quick)
    return groups


def residual(asked: Flags) -> Groups:
    data = small_images(asked.quick)
    epochs, width = (2, 4) if asked.quick else (80, 8)
    rates, way = (0.03, 0.1, 0.003, 0.01), partial(recipe, epochs, batch=32)
    shape, blocks, groups = data.train_x.shape[1:], (1, 1, 1), {}
    both = product({RESIDUAL: "", IDENTITY: "-identity"}.items(), KINDS.items())
    for (panel, ending), (kind, name) in (*both, ((IDENTITY, ""), ("fixup", "Fixup"))):
        build = partial(jr.models.resnet, shape, 10, blocks, width, kind, bool(ending))
        task, title = jr.Task(build, data, device=device()), f"residual-{kind}{ending}"
        groups[panel, name] = cells(title, task, rates, way, TRAINED["images"], asked.quick)
    return groups


def characters(quick: bool) -> tuple[jr.Dataset, int]:
    """Cut a text into windows of characters with the next one as target."""
    names = ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")
    text = " ".join(getattr(datasets, f"load_{name}")().DESCR.lower() for name in names)
    alphabet = {letter: place for place, letter in enumerate(sorted(set(text)))}
    codes = np.array([alphabet[letter] for letter in text])
    windows = np.lib.stride_tricks.sliding_window_view(codes, LENGTH + 1)
    cut = int(0.8 * len(windows))
    rng = np.random.default_rng(0)
    train, test = (200, 100) if quick else (1000, 300)
    parts = windows[:cut][rng.permutation(cut)[:train]], windows[cut + LENGTH :][:test]
    (train_x, train_y), (test_x, test_y) = ((part[:, :-1], part[:, -1]) for part in parts)
    history = (f"{', '.join(names)}: descriptions, {train} and {test} windows of {LENGTH}",)
    return jr.Dataset(train_x, train_y, test_x, test_y, history=history), len(alphabet)


def small_images(quick: bool) -> jr.Dataset:
    """Take 256 images of CIFAR-10 at half their size; quickly, digits."""
    if quick:
        return jr.data.digits().subset(100, 50)
    data = jr.data.load("cifar10").subset(256, 100)
    parts = (x.reshape(-1, 3, 16, 2, 16, 2) for x in (data.train_x, data.test_x))
    train, test = (x.mean((3, 5)).astype(np.float32) for x in parts)
    return replace(data, train_x=train, test_x=test, history=(*data.history, "2x2 means"))


def distinct(asked: Flags, table: pd.DataFrame) -> Rows:
    """Count the networks that figures hold together; some classifiers are in more than one."""
    more = [] if asked.quick else delta.hard(asked) + delta.shapes(asked)
    cells = more + delta.rates(asked)
    tables = [table, lucas.measured(asked, cells), lucas.measured(asked, far(asked))]
    names = ["lucas_paths", "lucas_delta", "lucas_distance, classifiers"]
    once = [pd.concat(tables[:n]).drop_duplicates(["cell", "seed"]) for n in (1, 2, 3)]
    return [{"figures": sorted(names[:n])} | counted(some) for n, some in enumerate(once, 1)]


def counted(some: pd.DataFrame) -> dict[str, int]:
    """Count networks: those that trained, and those that rise."""
    lost = some[~some["diverged"] & ~some["trained"]]
    found = lucas.counts(some)
    kept = {name: found[name] for name in ("networks", "diverged", "trained", "rose")}
    rose, untrained = int((lucas.rises(lost) > 0).sum()), found["networks"] - found["trained"]
    return {**kept, "untrained": untrained, "rose_untrained": rose}


def by_rate(table: pd.DataFrame) -> Row:
    """Count by the place of the rate; and what could have been found at most."""
    kept = table[table["trained"]]
    larger = int(kept["faster"].sum())
    most = np.arange(larger) < (lucas.rises(kept) > 0).sum(), np.zeros(len(kept) - larger)
    low, high = delta_interval(*most) if min(map(len, most)) > 1 else (None, None)
    slow, fast = counted(table[~table["faster"]]), counted(table[table["faster"]])
    rates = {"smaller": slow, "larger": fast}
    return rates | {"interval_were_all_risers_at_the_larger": [low, high]}


def judge(tables: Tables) -> Rows:
    deltas = {key: lucas.rises(some[some["trained"]]) for key, some in tables.items()}
    claims, judged = [], partial(lucas.larger, "interpolation-H3")
    for panel, name in tables:
        if name == "BatchNorm":
            pair = deltas[panel, name], deltas[panel, "no normalisation"]
            claims.append(judged(f"BatchNorm raises min Delta, {panel}", *pair))
    for name in reversed(KINDS.values()):
        claim = f"starting as the identity lowers min Delta of residual networks, {name}"
        claims.append(judged(claim, deltas[RESIDUAL, name], deltas[IDENTITY, name]))
    networks = pd.concat(tables.values())
    kept, ended = networks[networks["trained"]], networks[~networks["diverged"]]
    also = "networks that trained or not, without those that diverged"
    fit = "networks that trained"
    for some, claim, column, more, which in (
        (kept, f"{LARGER}, all panels", "faster", True, fit),
        (kept, ADAM, "optimiser", "adam", fit),
        (ended, f"{LARGER}, all panels, {also}", "faster", True, also),
        (ended, f"{ADAM}, {also}", "optimiser", "adam", also),
    ):
        pair = lucas.rises(some[some[column] == more]), lucas.rises(some[some[column] != more])
        claims.append(lucas.larger("interpolation-H1", claim, *pair, which))
    return [*claims, judge_both(kept)]


def judge_both(kept: pd.DataFrame) -> Row:
    """Judge rates where a kind with an optimiser has networks at both, all such as one sample."""
    some = kept[kept.groupby(["network", "optimiser"])["faster"].transform("nunique") > 1]
    claim = f"{LARGER}, kinds and optimisers that trained at both"
    pair = lucas.rises(some[some["faster"]]), lucas.rises(some[~some["faster"]])
    without = "without kinds x optimisers that have none at one of the rates"
    return lucas.larger("interpolation-H1", claim, *pair, f"networks that trained, {without}")


def shares(some: pd.DataFrame) -> Row:
    """Count a group's networks; the share of those that rise has Wilson's interval."""
    found = lucas.counts(some)
    if not found["trained"]:
        return found | {"share": None, "interval": [None, None]}
    ends = binomtest(found["rose"], found["trained"]).proportion_ci(method="wilson")
    return found | {"share": found["rose"] / found["trained"], "interval": [*map(float, ends)]}


def draw(asked: Flags, tables: Tables, claims: Rows) -> Figure:
    figure = Figure(figsize=(15.5, 7.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[3.4, 1.2])
    titles = dict.fromkeys(title for title, _ in tables)
    for ax, title in zip(left.subplots(2, 3).ravel(), titles, strict=True):
        curves(ax, title, {name: some for (panel, name), some in tables.items() if panel == title})
    bars(right.subplots(), tables)
    figure.suptitle(headline(tables, claims))
    figure.supxlabel(caption(asked, pd.concat(tables.values())), fontsize=8)
    return figure


def caption(asked: Flags, every: pd.DataFrame) -> str:
    found = by_rate(every)
    fast, slow = found["larger"], found["smaller"]
    least = every[every["trained"]].groupby(["network", "batchnorm"], dropna=False).size().min()
    data = "1,000 images of Fashion-MNIST, 256 of CIFAR-10 at 16x16, 1,000 windows of "
    data = "digits" if asked.quick else f"{data}{LENGTH} characters"
    first, last = every["seed"].min(), every.groupby("cell")["seed"].max()
    seeds = f"seeds {first} to {last.min()}"
    if last.max() > last.min():
        seeds += f", to {last.max()} in groups of which fewer than {ENOUGH} of these trained"
    return (
        f"n = {len(every)} networks: {seeds}, x 2 learning rates x SGD (momentum .9) and Adam; "
        f"{data}; {least} or more trained networks a kind; 51 alphas\n"
        "thin: networks, thick: those that rise by more than 1e-3; "
        f"drawn: those that trained (final training loss at most {lucas.FITTED:g}, "
        f"{TRAINED['text']:g} for text, {TRAINED['images']:g} for residual networks, "
        "half the pixel variance for the autoencoder)\n"
        f"{fast['untrained']} of {fast['networks']} at the larger rate did not, "
        f"{slow['untrained']} of {slow['networks']} at the smaller; of those that did "
        f"{fast['rose']} of {fast['trained']} and {slow['rose']} of {slow['trained']} rise, of "
        f"untrained networks with an end {fast['rose_untrained']} (larger rate) and "
        f"{slow['rose_untrained']} (smaller); BatchNorm scored with statistics estimated anew"
    )


def curves(ax: Axes, title: str, groups: Mapping[str, pd.DataFrame]) -> None:
    for name, some in groups.items():
        found, kept = lucas.counts(some), some[some["trained"]]
        colour = COLOURS.get(name, BLUE)
        for values, rise in zip(kept["curve"], lucas.rises(kept), strict=True):
            thick = {"lw": 1.8, "alpha": 0.9} if rise else {"lw": 0.7, "alpha": 0.6}
            ax.plot(np.linspace(0, 1, len(values)), values, color=colour, **thick)
        lost = found["networks"] - found["trained"]
        said = f"{name}: " if name else "", f" ({lost} did not train)" if lost else ""
        rise = f"{found['rose']} of {found['trained']} rise"
        ax.plot([], [], color=colour, label=rise.join(said))
    bottom, top = ax.get_ylim()
    ax.set(xlim=(0, 1), ylim=(min(0, bottom), top + 0.25 * (top - bottom)))
    up = f"training loss ({'squared error a pixel' if 'autoencoder' in title else 'nats'})"
    panels.label(ax, "α, share of the way", up, title, fontsize=8, loc="upper right")


def bars(ax: Axes, tables: Tables) -> None:
    labels = []
    for place, ((panel, name), some) in enumerate(tables.items()):
        found, colour = shares(some), COLOURS.get(name, BLUE)
        labels.append(panel.split(", ")[0].replace(" started", "\nstarted") + f"\n{name}")
        if found["share"] is not None:
            ax.plot(found["interval"], [place, place], color=colour, lw=2)
            ax.plot(found["share"], place, "o", color=colour)
    ax.set_yticks(range(len(labels)), labels, fontsize=8)
    ax.invert_yaxis()
    ax.set_xlim(-0.02, 1.02)
    panels.label(ax, "share that rises by more than 1e-3, 95 % interval", "", "summary")


def headline(tables: Tables, claims: Rows) -> str:
    found = lucas.counts(pd.concat(tables.values()))
    words = {
        "BatchNorm raises it": ("H3", "BatchNorm raises"),
        "starting as the identity lowers it": ("H3", "starting as the identity"),
        "larger rates and Adam raise it": ("H1", ""),
    }
    return (
        f"{found['rose']} of {found['trained']} trained networks rise on the way to the solution\n"
        f"{lucas.verdicts(claims, words)}"
    )
