"""A network that is trained at points of a curve or surface through states."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from jumpretrain.connectivity.barycentric import RandomPoint
from jumpretrain.contents.estimates import has_vectors, renew_vectors
from jumpretrain.contents.layout import Layout, run_with
from jumpretrain.networks.copying import copied

__all__ = ["CurveNetwork"]

PARTS = 4  # of a batch, each at a point of its own: the gradient varies less


class CurveNetwork(nn.Module):
    """A network at a random point of a curve or surface; its weights are the free nodes.

    In evaluation mode it stands in the middle. Frozen parameters and buffers are mixed as the
    weights are; the vectors of `spectral_norm` are found anew at each point.
    """

    def __init__(
        self,
        network: nn.Module,
        layout: Layout,
        nodes: NDArray[Any],
        fixed: int,
        draw: RandomPoint,
    ) -> None:
        """Take nodes (N, S), the first of which are fixed."""
        super().__init__()
        self.network = copied(network).requires_grad_(False)
        if has_vectors(self.network):
            self.network.register_forward_pre_hook(renew_vectors)
        rows = torch.as_tensor(nodes[:, : layout.weight_count])
        self.register_buffer("ends", rows[:fixed].clone())
        self.register_buffer("others", torch.as_tensor(nodes[:, layout.weight_count :]).clone())
        self.free = nn.Parameter(rows[fixed:].clone())
        self.layout, self.draw = layout, draw
        normalised = any(isinstance(part, BatchNorm) for part in network.modules())
        self.parts = 1 if normalised else PARTS  # BatchNorm needs the whole batch

    def _get_name(self) -> str:
        return "Bridge"  # what folders have called it since 0.2.0

    def extra_repr(self) -> str:
        """Name what the layers do not show.

        Returns:
            The curve or surface with its numbers of nodes.
        """
        return f"{self.draw.name}, {self.draw.nodes} nodes, {len(self.free)} free"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Answer as the network does, in training at a point of its own for each of some parts.

        Returns:
            What the network returns.

        Raises:
            ValueError: If that is not one tensor.
        """
        if not self.training:
            return self._answer(x, torch.full((self.draw.corners,), 0.5))
        parts = [part for part in x.tensor_split(self.parts) if len(part)]
        return torch.cat([self._answer(part, torch.rand(self.draw.corners)) for part in parts])

    def _answer(self, x: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        shares = torch.as_tensor(self.draw.at(numbers)).to(self.free)
        weights = shares @ torch.cat([torch.as_tensor(self.ends), self.free])
        state = torch.cat([weights, shares @ torch.as_tensor(self.others)])
        tensors = self.layout.split(state)
        for name in self.layout.names[self.layout.trainable :]:
            tensors[name] = tensors[name].detach().clone()  # BatchNorm writes into its buffers
        answer = run_with(self.network, tensors, x)
        if not isinstance(answer, torch.Tensor):
            raise ValueError(
                "points are trained together where a network returns one tensor, but this one "
                f"returns {type(answer).__name__}; use hyperplane without refine"
            )
        return answer
