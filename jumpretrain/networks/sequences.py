"""Builders of networks that read sequences of tokens: whole numbers (B, length)."""

from __future__ import annotations

import torch
from torch import nn

from jumpretrain.execution.arguments import checked
from jumpretrain.execution.bounds import Count

__all__ = ["lstm", "transformer"]


class _Recurrent(nn.Module):
    def __init__(self, tokens: int, classes: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.recurrent = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps, _ = self.recurrent(self.embedding(x))
        return torch.as_tensor(self.head(steps[:, -1]))


@checked
def lstm(tokens: Count, classes: Count, width: Count = 32) -> nn.Module:
    """Build a recurrent network: embedding, one LSTM layer, a linear layer on its last step.

    Args:
        tokens: Number of distinct tokens, 0 to tokens - 1.
        classes: Number of outputs; the tokens where the next one is to be told.
        width: Width of embedding and LSTM.

    Returns:
        The network; it takes sequences of any length (B, length).

    Example:
        >>> sum(p.numel() for p in lstm(50, 4, width=8).parameters())
        1012
    """
    return _Recurrent(tokens, classes, width)


class _Encoder(nn.Module):
    """A pre-norm encoder layer of plain linear layers, so that `initialise` reaches all."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.merge = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(
            nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = self.attention(self.norm1(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind()  # each (B, heads, length, D)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        x = x + self.merge(mixed.transpose(1, 2).flatten(2))
        return torch.as_tensor(x + self.feed(self.norm2(x)))


class _Attending(nn.Module):
    def __init__(
        self, tokens: int, classes: int, length: int, width: int, heads: int, layers: int
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.position = nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(_Encoder(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = torch.arange(x.shape[1], device=x.device)
        inner = self.blocks(self.embedding(x) + self.position(places))
        return torch.as_tensor(self.head(self.norm(inner).mean(1)))


@checked
def transformer(
    tokens: Count,
    classes: Count,
    length: Count,
    width: Count = 32,
    heads: Count = 2,
    layers: Count = 2,
) -> nn.Module:
    """Build a transformer without dropout: pre-norm encoder layers, the mean over positions.

    Each layer draws its own weights; every position sees all others. Positions are learned.

    Args:
        tokens: Number of distinct tokens, 0 to tokens - 1.
        classes: Number of outputs; the tokens where the next one is to be told.
        length: Largest length of a sequence.
        width: Width of embeddings and attention; feed-forward layers are four times as wide.
        heads: Attention heads a layer.
        layers: Number of encoder layers.

    Returns:
        The network; it takes sequences (B, length) or shorter.

    Raises:
        ValueError: If the width is no multiple of the heads.

    Example:
        >>> sum(p.numel() for p in transformer(50, 4, length=6, width=8, layers=1).parameters())
        1372
    """
    if width % heads:
        raise ValueError(f"width must be a multiple of heads, but {width} is none of {heads}")
    return _Attending(tokens, classes, length, width, heads, layers)
