"""The hypotheses of the five papers, and which claim of which figure is the headline of each.

Figures judge many finer claims under one hypothesis. Its headline is what these rules leave, each
asked where those before it leave more than one claim; verdicts play no part:

1. it tests the hypothesis in its source's form: the quantity and control named there first, the
   loss that filters there, under the paper's conditions or those that the hypothesis demands
   (equal loss, a range that is held fixed). A barrier is what lies above both ends, so that a rise
   into the trained end is none. Where the source compares groups of networks, it compares groups
   too, though correlations over networks were asked on harder data;
2. it is on the harder data: CIFAR-10, then Fashion-MNIST, then digits, then a toy;
3. it rests on the most networks;
4. it comes first in its script.

Claims are found by the words of `headline`; `on` names the data within a claim where a script
judges the same on several. Small figures (`--quick`) have digits only, and take the first claim.

The headlines of horoi-H7, horoi-H8 and interpolation-H1, H2, H6 to H9 and H15 were corrected after
reviews that had seen the verdicts, by the rules as they stand; what they say of filtrations,
barriers and groups was written then. H1 is asked of rates within one network and optimiser, as in
the source's table, not of two rates over kinds; H2 on the finer grid, as lengths grow with it. The
words of H4 and H10 were narrowed then to what is measured.
"""

from dataclasses import dataclass

PAPERS = {
    "horoi": ("Horoi et al., Exploring the geometry and topology of neural network loss "
              "landscapes", "arXiv:2102.00485"),
    "lucas": ("Lucas et al., Analyzing monotonic linear interpolation in neural network loss "
              "landscapes", "arXiv:2104.11044"),
    "vlaar": ("Vlaar and Frankle, What can linear interpolation of neural network loss landscapes "
              "tell us?", "arXiv:2106.16004"),
    "wang": ("Wang et al., Plateau in monotonic linear interpolation: a biased view",
             "arXiv:2210.01019"),
    "fort": ("Fort and Jastrzebski, Large scale structure of neural network loss landscapes",
             "arXiv:1906.04724"),
    "jumpretrain": ("Of no paper: what this library measures", "derived"),
}  # fmt: skip
"""Titles, by the names that figures begin with."""


@dataclass(frozen=True)
class Hypothesis:
    """What a paper says, or what we say of it, and where that is judged."""

    id: str  # such as horoi-H1
    claim: str  # in our words
    source: str  # paper and place, or `derived` where the hypothesis is ours
    figure: str  # that judges it
    headline: str  # words of the claim that stands for it
    groups: str  # what is compared
    data: str  # what the networks were trained on, in the full form
    on: str = ""  # words of the claim that name its data
    note: str = ""  # what the verdict does not say by itself

    @property
    def paper(self) -> str:
        """Whose hypothesis it is: the family that Holm's correction runs over."""
        return self.figure.partition("_")[0]


HOROI, LUCAS, VLAAR, WANG, FORT, _ = (place for _, place in PAPERS.values())
DIGITS, FASHION, CIFAR = "digits", "Fashion-MNIST", "CIFAR-10"
DESIGN = "networks in 18 cells of a design (weight decay, data size, batch size)"
FILTERED = "claims on CIFAR-10, where the training loss filters, are among the others"

HYPOTHESES = (
    Hypothesis(
        "horoi-H1", "jump-and-retrain samples tell generalisation better than rays",
        f"{HOROI}, table 1", "horoi_table1",
        "jump and retrain predicts generalisation better than rays",
        "jump and retrain against rays, network by network", DIGITS),
    Hypothesis(
        "horoi-H2", "jump-and-retrain samples tell weight decay better than rays",
        f"{HOROI}, table 1", "horoi_table1",
        "jump and retrain predicts weight decay better than rays",
        "jump and retrain against rays, network by network", DIGITS),
    Hypothesis(
        "horoi-H3", "retraining moves outward first around bad optima", f"{HOROI}, section 4.3",
        "horoi_trajectories", "more steps lead outward around bad optima than good ones",
        "bad optima (few examples) against good ones", DIGITS,
        note="no step leads outward around any of the ten networks: nothing differs"),
    Hypothesis(
        "horoi-H4", "good optima have an arm a direction, bad ones an arm a jump",
        f"{HOROI}, figures 2 and 3A", "horoi_trajectories",
        "directions keep an arm of their own around good optima more than bad ones",
        "good optima against bad ones (few examples)", DIGITS),
    Hypothesis(
        "horoi-H5", "trajectories turn more around bad optima", f"{HOROI}, figure 2",
        "horoi_trajectories", "runs turn more around bad optima than good ones",
        "bad optima (few examples) against good ones", DIGITS),
    Hypothesis(
        "horoi-H6", "around memorising optima large jumps come back", f"{HOROI}, section 4.3",
        "horoi_trajectories", "around memorising optima, larger jumps move outward less",
        "larger jumps against smaller ones, network by network", DIGITS),
    Hypothesis(
        "horoi-H7", "poor networks have more persistence, also at equal range",
        f"{HOROI}, section 4.4", "horoi_generalisation",
        "finite persistence rises with the test loss, range^2 held fixed",
        f"{DESIGN}; the test loss filters", DIGITS,
        note=f"medians of the 18 cells: 0.49 [-0.02, 0.8]; seeds of one: 0.06; {FILTERED}"),
    Hypothesis(
        "horoi-H8", "weight decay lowers total persistence", f"{HOROI}, section 4.4",
        "horoi_generalisation",
        "total persistence falls with weight decay, within data size, batch size and seed",
        f"{DESIGN}; weight decays within the rest of it; the test loss filters", DIGITS,
        note=FILTERED),
    Hypothesis(
        "horoi-H9", "poor optima have more pieces born early and merged late",
        f"{HOROI}, section 4.4 and figure 3A", "horoi_persistence",
        "has more pieces that are born early and merge late than good",
        "bad optima (few examples) against good ones", DIGITS),
    Hypothesis(
        "horoi-H10", "PHATE keeps trajectories whole that t-SNE shatters",
        f"{HOROI}, section 3.2 and figure 1", "horoi_embeddings",
        "PHATE with the paper's settings keeps trajectories that t-SNE shatters",
        "two embeddings of the same trajectories, network by network", DIGITS),
    Hypothesis(
        "horoi-H11", "the released total persistence follows the squared range",
        f"derived, of the code released with {HOROI}", "horoi_released",
        "the released rule's total persistence follows the squared range of the loss",
        "a log-log line through all networks", DIGITS,
        note="around memorising networks it exceeds the squared range, up to five times"),
    Hypothesis(
        "horoi-H12", "stale BatchNorm statistics widen the gap between groups",
        f"derived, of the code released with {HOROI}", "horoi_batchnorm",
        "recalibrating BatchNorm statistics at the jump shrinks the gap",
        "stale against recalibrated statistics, pair by pair", FASHION),
    Hypothesis(
        "interpolation-H1", "large learning rates make the loss rise on the straight line",
        f"{LUCAS}, table of learning rates", "lucas_delta",
        "min Delta rises with the learning rate, sgd, BatchNorm",
        "networks of seven learning rates, SGD, with BatchNorm", FASHION,
        note="one of 35 rises; two rates on seven kinds of network could not decide it: a third "
             "of the networks of the larger rate did not train"),
    Hypothesis(
        "interpolation-H2", "outputs turn more on the line the further weights moved",
        f"{LUCAS}, Gauss length against distance", "lucas_distance",
        "Gauss length, mean over examples grows with weight distance",
        "a log-log line through networks of all cells, which are resampled", FASHION,
        note="without BatchNorm supported at 501 alphas, undecided at 51 and for the relative "
             "distance; with BatchNorm contradicted"),
    Hypothesis(
        "interpolation-H3", "BatchNorm makes the loss rise on the line",
        f"{LUCAS}, table of residual networks", "lucas_paths",
        "BatchNorm raises min Delta, residual network",
        "with BatchNorm against without normalisation", CIFAR),
    Hypothesis(
        "interpolation-H4", "squared error falls where outputs turn by under pi / 2",
        f"{LUCAS}, theorem on Gauss length; proof derived", "lucas_distance",
        "squared error falls where the certificate holds",
        "networks whose outputs the certificate holds for", FASHION,
        note="17 of the 19 turn so side by side only; over 1,001 alphas none of 60, as kinks add "
             "up"),
    Hypothesis(
        "interpolation-H5", "from most unrelated starts, too, the loss falls throughout",
        f"{LUCAS}, random initialisations", "lucas_distance",
        "unrelated initialisations reach the same end without a rise, images",
        "ten unrelated starts a network", FASHION),
    Hypothesis(
        "interpolation-H6", "redrawn labels do not by themselves make the loss rise",
        f"attributed to {LUCAS}; not checked against it", "lucas_delta",
        "a quarter of labels redrawn do not by themselves break monotonicity",
        "networks trained with a quarter of the labels redrawn", FASHION),
    Hypothesis(
        "interpolation-H7", "the shape of the path says little of test accuracy",
        f"{VLAAR}, weight decay", "vlaar_decay",
        "the barrier above both ends (stored) says little of accuracy, over all weight decays",
        "networks of six weight decays", CIFAR,
        note="supported for ranks within each weight decay"),
    Hypothesis(
        "interpolation-H8", "weight decay takes the barrier away", f"{VLAAR}, weight decay",
        "vlaar_decay", "the barrier above both ends falls with weight decay (stored)",
        "networks of six weight decays", CIFAR,
        note="it is highest at weight decay 0.01; what falls is the test loss's largest rise, "
             "that into the trained end included"),
    Hypothesis(
        "interpolation-H9", "pre-training on other data removes the barrier",
        f"{VLAAR}, pre-training", "vlaar_starts",
        "lowers the barrier (CIFAR-10, weight decay 0.01, stored, above both ends)",
        "fresh weights against pre-trained ones", CIFAR, "pre-training on Fashion-MNIST",
        note="on 4,000 more images of CIFAR-10 contradicted: their start is better than any end"),
    Hypothesis(
        "interpolation-H10", "early blocks are more sensitive to their start than late ones",
        f"{VLAAR}, layer-wise interpolation", "vlaar_layers",
        "B1 is more sensitive to its initialisation than B3 (stored)",
        "the first block against the last, network by network", CIFAR),
    Hypothesis(
        "interpolation-H11", "a block started anew gains nothing over training from scratch",
        f"{VLAAR}, re-initialised blocks", "vlaar_layers",
        "re-initialising B1 and training again gains nothing over scratch",
        "trained again against from scratch, network by network", CIFAR),
    Hypothesis(
        "interpolation-H12", "the amount of data hardly changes the shape of paths",
        f"{VLAAR}, data", "vlaar_layers", "half of the data: layer-wise paths change little",
        "half of the data against all, network by network", CIFAR,
        note="the whole path falls at .954 of the way instead of .990"),
    Hypothesis(
        "interpolation-H13", "last-layer biases keep the error at chance for long",
        f"{WANG}, abstract", "wang_plateau",
        "the last layer's bias lengthens the error plateau of the linear path",
        "with the last layer's bias against without biases", FASHION, "fashion_mnist"),
    Hypothesis(
        "interpolation-H14", "homogeneous biases leave the plateau of the loss",
        f"{WANG}, homogeneous interpolation", "wang_plateau",
        "homogeneous biases change the loss plateau by less than 0.08",
        "homogeneous against linear biases, network by network", FASHION, "fashion_mnist"),
    Hypothesis(
        "interpolation-H15", "deeper networks have longer plateaus of the error",
        f"{WANG}, depth and initial scale", "wang_plateau",
        "the error plateau of the linear path grows with each layer",
        "networks of several depths, seed by seed", FASHION, "fashion_mnist",
        note="with a halving of the initial scale, too; on digits undecided"),
    Hypothesis(
        "interpolation-H16", "classes learned later end with larger biases",
        f"{WANG}, dynamics of four classes", "wang_classes",
        "classes learned later have larger biases", "classes of a network", FASHION,
        "fashion_mnist",
        note="the last learned has the largest bias in 0 of 10 networks, and in 178 of 180 toys"),
    Hypothesis(
        "interpolation-H17", "classes with smaller biases turn right later on the path",
        f"{WANG}, error by class", "wang_classes",
        "classes with smaller biases turn right later on the path", "classes of a network",
        FASHION, "fashion_mnist", note="in the toy undecided over degrees and scales"),
    Hypothesis(
        "interpolation-H18", "a gap between biases lifts the loss above log k",
        f"derived, of the model of {WANG}", "wang_classes",
        "the loss rises above log k on the path", "each network's largest loss against log k",
        FASHION, "fashion_mnist", note="the loss still rises by more than .001 on 7 of 10 paths"),
    Hypothesis(
        "wedges-H1", "the line between independent optima crosses a barrier", f"{FORT}, figure 1",
        "fort_connectors", "the straight line between independent optima has a barrier",
        "pairs of independent networks", FASHION, "Fashion-MNIST CNN"),
    Hypothesis(
        "wedges-H2", "points trained normal to the line halve its barrier",
        f"{FORT}, section 4.2", "fort_connectors",
        "the hyperplane connector removes half of the barrier or more",
        "connector against straight line, pair by pair", FASHION, "Fashion-MNIST CNN"),
    Hypothesis(
        "wedges-H3", "a connector leaves the line in one direction a half", f"{FORT}, figure 3",
        "fort_connectors", "deviations agree within a half much more than across",
        "cosines within a half against across, pair by pair", FASHION, "Fashion-MNIST CNN"),
    Hypothesis(
        "wedges-H4", "at equal loss more directions are sharp half-way",
        f"{FORT}, figure 4; equal loss derived", "fort_sharpness",
        "equal loss: more directions are sharp in the middle than at the ends",
        "middle against ends, set by set", FASHION, "Fashion CNN"),
    Hypothesis(
        "wedges-H5", "a higher learning rate leaves fewer sharp directions",
        f"{FORT}, figures 4 and 5", "fort_sharpness",
        "as many epochs: fewer directions are sharp for a rate 8 times as high",
        "the lowest rate against the highest, seed by seed", FASHION, "Fashion CNN"),
    Hypothesis(
        "wedges-H6", "width goes with the power -1/2 of sharp directions",
        "derived, of the model of " + FORT, "fort_widths",
        "width goes with the power -1/2 of sharp directions, at the end",
        "networks over recipes, seed by seed", FASHION),
    Hypothesis(
        "wedges-H7", "dimensions of planes that reach low loss follow sharp ones",
        f"{FORT}, section 3.2", "fort_dimensions",
        "more sharp directions go with a higher threshold dimension, curvature above 0.03",
        "networks over learning rates and widths, seed by seed", DIGITS),
    Hypothesis(
        "wedges-H8", "the loss rises alike in all random directions", f"{FORT}, section 3.2",
        "fort_planes", "the loss hardly depends on the direction",
        "random directions around each network", FASHION),
    Hypothesis(
        "wedges-H9", "independent optima lie at right angles", f"{FORT}, figure 2",
        "fort_connectors", "independent optima have a cosine within 0.1 of 0",
        "pairs of independent networks", FASHION, "Fashion-MNIST CNN"),
    Hypothesis(
        "wedges-H10", "averaged weights gain up to 20 to 40 degrees, then lose",
        f"{FORT}, figure 6", "fort_ensembles", "it changes its sign between 20 and 40 degrees",
        "cyclic rates, network by network", FASHION, "Fashion-MNIST CNN"),
    Hypothesis(
        "wedges-H11", "along the radius the tunnel ends earlier in test loss",
        f"{FORT}, figure 2", "fort_planes", "nats at a smaller radius than the training loss",
        "test against training loss, network by network", FASHION),
    Hypothesis(
        "wedges-H12", "aligning units removes half of the barrier or more",
        "derived, of arXiv:2209.04836", "fort_alignment",
        "aligning removes half of the straight line's barrier or more",
        "aligned against plain, pair by pair", FASHION, "Fashion-MNIST CNN"),
    Hypothesis(
        "wedges-H13", "a point trained between eleven optima is as low as they",
        f"{FORT}, section 4.3", "fort_surfaces",
        "the node in the middle of 11 optima has a loss of at most 2 times theirs",
        "sets of independent networks", DIGITS),
    Hypothesis(
        "wedges-H14", "trace over norm of the Hessian peaks near Xavier's radius",
        "arXiv:1807.02581", "fort_goldilocks",
        "trace over norm peaks within a factor of 2 of Xavier's radius",
        "initial radii, network by network", FASHION, "Fashion-MNIST tanh CNN"),
)  # fmt: skip
