"""Bend the highest ways between basins: trained curves in place of straight segments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jumpretrain.connectivity.connect import connect
from jumpretrain.engine.recipe import Recipe, same_folder
from jumpretrain.storage import manifests
from jumpretrain.topology.merge_tree import MergeTree
from jumpretrain.topology.saddles import Saddles
from jumpretrain.topology.segments import Segments

__all__ = ["bent"]


def bent(segments: Segments, saddles: Saddles, count: int, recipe: Recipe) -> Saddles:
    """Train a curve for each of the highest merges, and keep it where it is lower.

    Args:
        segments: The states and their task.
        saddles: What was measured on straight segments.
        count: How many merges are bent, at most: those as high as an end cannot sink.
        recipe: How the points of the curves are trained.

    Returns:
        The same states with merges that are no higher.
    """
    tree = saddles.tree
    heights, ends = tree.heights.copy(), tree.values[tree.links].max(axis=1)
    for merge in np.flatnonzero(heights > ends)[::-1][:count].tolist():
        pair = tree.links[merge]
        name = "-".join(map(str, ("bent", *pair, manifests.identity({"recipe": recipe})[:8])))
        with same_folder():  # which has a place for each recipe
            curve = connect(
                segments.task,
                segments.states[pair],
                recipe=recipe,
                folder=segments.folder and segments.folder / name,
                execution=segments.execution,
            )
        top = curve.metrics[segments.metric].max()
        heights[merge] = max(min(heights[merge], np.nan_to_num(top, nan=np.inf)), ends[merge])
    sort = np.argsort(heights, kind="stable")
    sunk = MergeTree(tree.values, tree.links[sort], heights[sort])
    return replace(saddles, tree=sunk, straight=saddles.straight[sort], rises=saddles.rises[sort])
