"""Run birder's DaViT without moving its numbers about: the same weights and the same answers, channels last throughout.

birder's module keeps a picture as (n, channels, height, width) between its blocks and as (n, tokens, channels)
inside them, and copies it from one to the other several times per block. Here it is (n, height, width, channels)
from the stem to the end, which a convolution reads as `channels_last`, a linear layer as tokens and a window as
rows of tokens. What can be joined is joined, by algebra alone:

* `x + convolution(x)` of a block's position encoding is one convolution with 1 added to the middle of its kernel
  (in float32; half a precision's steps near 1 are too coarse for the weight that it would be added to);
* channel attention mixes the channels of a head by a small matrix, and a linear layer follows: the matrix is
  multiplied with that layer's weights, a few thousand numbers, not with the picture's tokens;
* on the CPU the two layers of a block's perceptron take a few rows after another, and what is between them, four
  times as wide as the picture, stays in the cache.

Dropout and stochastic depth do nothing when a network is used, and are left out.
"""

from __future__ import annotations

from birdwatchd.species.network.torch_errors import quiet_import

# isort: split
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - everybody's name for it

with quiet_import():
    from birder.net.davit import ChannelAttention, ChannelBlock, DaViT, FlorenceChannelAttention, SpatialBlock

__all__ = ["Davit", "is_davit"]

# Bytes between the two layers of a perceptron at once, on the CPU. Measured with davit_tiny at 384, one thread:
# 0.5, 1, 2, 4 MB and everything (14 MB): 532, 488, 469, 455 and 454 … 492 ms per picture, the last with 4000 page
# faults, for the system takes back what is that large and gives it out anew, zeroed.
_HIDDEN_BYTES = 4 << 20


def is_davit(net: Any) -> bool:
    """Whether `Davit` can take this network of birder's: a DaViT with nothing in it that is not known here."""
    return isinstance(net, DaViT) and all(
        isinstance(block.cpe1.act, nn.Identity)
        and isinstance(block.cpe2.act, nn.Identity)
        and (
            type(block) is SpatialBlock
            or (type(block) is ChannelBlock and type(block.attn) in (ChannelAttention, FlorenceChannelAttention))
        )
        for stage in net.body
        for block in stage.blocks
    )


class Davit(nn.Module):
    """birder's DaViT, to be asked and not to be trained; it speaks birder's `embedding` and `classify`.

    It shares weights with the network that it was made of, which must not be changed or moved afterwards.

    Args:
        net: birder's network in evaluation mode, float32, on the CPU; one that `is_davit`.
        dtype: of the weights and of everything between them; the last layer norm and the classifier stay float32,
            for a logit of 10 in bfloat16 is only known to 0.03.
    """

    def __init__(self, net: Any, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.stem = net.stem.conv
        self.stem_norm = net.stem.norm
        self.stages = nn.ModuleList(_Stage(stage, dtype) for stage in net.body)
        self.to(dtype).to(memory_format=torch.channels_last)
        self.norm = net.features[1]
        self.classifier = net.classifier
        self.requires_grad_(False)

    def embedding(self, inputs: Tensor) -> Tensor:
        """Describe pictures.

        Args:
            inputs: normalised, any float dtype, shape (n, 3, height, width), best in `channels_last`.

        Returns:
            Embeddings, float32, shape (n, dim).
        """
        x = self.stem(inputs.to(self.stem.weight.dtype)).permute(0, 2, 3, 1)
        x = _normed(x, self.stem_norm)
        for stage in self.stages:
            x = stage(x)
        return _normed(x.mean(dim=(1, 2), dtype=torch.float32), self.norm)

    def classify(self, embedding: Tensor) -> Tensor:
        """Embeddings, shape (n, dim), to logits, shape (n, classes)."""
        logits: Tensor = self.classifier(embedding)
        return logits


class _Stage(nn.Module):
    """Blocks of one resolution, and the convolution that leads to it; (n, h, w, c) in and out."""

    def __init__(self, stage: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.down = _Down(stage.downsample) if hasattr(stage.downsample, "conv") else nn.Identity()
        self.blocks = nn.Sequential(
            *(_Windows(b, dtype) if type(b) is SpatialBlock else _Channels(b, dtype) for b in stage.blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        """To (n, height, width, channels) of this stage."""
        out: Tensor = self.blocks(self.down(x))
        return out


class _Down(nn.Module):
    """Half the resolution by a convolution over whole squares; odd sizes are padded with zeros below and right."""

    def __init__(self, down: Any) -> None:
        super().__init__()
        self.norm, self.conv = down.norm, down.conv
        self.whole = down.conv.kernel_size[0] if down.even_k else 1

    def forward(self, x: Tensor) -> Tensor:
        _, height, width, _ = x.shape
        x = _normed(x, self.norm)
        below, right = -height % self.whole, -width % self.whole
        if below or right:
            x = F.pad(x, (0, 0, 0, right, 0, below))
        out: Tensor = self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return out.contiguous()


class _Position(nn.Module):
    """Add to each token what its eight neighbours say of its place: x + a depthwise convolution of x."""

    def __init__(self, position: Any, dtype: torch.dtype) -> None:
        super().__init__()
        conv = position.proj
        self.joined = dtype == torch.float32
        weight = conv.weight.detach().clone()
        if self.joined:
            weight[:, :, weight.shape[2] // 2, weight.shape[3] // 2] += 1
        self.weight, self.bias = nn.Parameter(weight, requires_grad=False), conv.bias
        self.padding, self.groups = conv.padding, conv.groups

    def forward(self, x: Tensor) -> Tensor:
        conv = F.conv2d(x.permute(0, 3, 1, 2), self.weight, self.bias, padding=self.padding, groups=self.groups)
        conv = conv.permute(0, 2, 3, 1).contiguous()
        return conv if self.joined else conv.add_(x)


class _Block(nn.Module):
    """What blocks of both kinds are made of: position, attention, position, perceptron."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.position1, self.norm1 = _Position(block.cpe1, dtype), block.norm1
        self.position2, self.norm2 = _Position(block.cpe2, dtype), block.norm2
        self.heads = block.attn.num_heads
        self.qkv, self.proj = block.attn.qkv, block.attn.proj
        self.wide, self.narrow = (layer for layer in block.mlp if isinstance(layer, nn.Linear))

    def forward(self, x: Tensor) -> Tensor:
        """(n, h, w, c) to (n, h, w, c)."""
        x = self.position2(self._attended(self.position1(x)))
        tokens = x.view(-1, x.shape[-1])
        rows = len(tokens)
        if x.device.type == "cpu":
            rows = max(64, _HIDDEN_BYTES // (self.wide.out_features * x.element_size()))
        for part in torch.split(tokens, rows):
            part.add_(self.narrow(F.gelu(self.wide(_normed(part, self.norm2)))))
        return x

    def _attended(self, x: Tensor) -> Tensor:
        """x with what its tokens learn from each other added; x itself may be used for it."""
        raise NotImplementedError


class _Windows(_Block):
    """Tokens look at the others of their window."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        super().__init__(block, dtype)
        self.window = block.window_size
        self.scale = block.attn.scale

    def _attended(self, x: Tensor) -> Tensor:
        n, height, width, channels = x.shape
        high, wide = self.window
        below, right = -height % high, -width % wide
        padded = F.pad(x, (0, 0, 0, right, 0, below)) if below or right else x
        y = _normed(x, self.norm1)
        if below or right:
            y = F.pad(y, (0, 0, 0, right, 0, below))
        grid = (n, (height + below) // high, high, (width + right) // wide, wide, channels)
        tokens = y.view(grid).transpose(2, 3).reshape(-1, high * wide, channels)
        qkv = self.qkv(tokens).view(-1, high * wide, 3, self.heads, channels // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        y = self.proj(y.transpose(1, 2).reshape(-1, channels))
        padded.view(grid).add_(y.view(grid[0], grid[1], grid[3], high, wide, channels).transpose(2, 3))
        return padded[:, :height, :width].contiguous()


class _Channels(_Block):
    """Channels of a head look at each other, over the whole picture."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        super().__init__(block, dtype)
        self.florence = type(block.attn) is FlorenceChannelAttention
        self.scale = None if self.florence else block.attn.scale

    def _attended(self, x: Tensor) -> Tensor:
        """Per head, a = softmax(scale · kᵀ v) is (d, d), and the answer proj(q aᵀ) is q (aᵀ projᵀ) over all heads.

        Florence's kind has other roles for the three, and its scale is the number of tokens to the power of -½.
        """
        n, height, width, channels = x.shape
        tokens, depth = height * width, channels // self.heads
        qkv = self.qkv(_normed(x, self.norm1)).view(n, tokens, 3, self.heads, depth)
        first, second, answer = (0, 1, 2) if self.florence else (1, 2, 0)
        scale = tokens**-0.5 if self.scale is None else self.scale
        left = qkv[:, :, first].permute(0, 2, 3, 1).reshape(-1, depth, tokens)
        right = qkv[:, :, second].permute(0, 2, 1, 3).reshape(-1, tokens, depth)
        mix = torch.baddbmm(left.new_zeros(()), left, right, beta=0, alpha=scale).softmax(dim=-1)
        proj = self.proj.weight.t().reshape(1, self.heads, depth, channels)
        mixed = mix.view(n, self.heads, depth, depth).transpose(-1, -2) @ proj
        y = torch.baddbmm(self.proj.bias, qkv[:, :, answer].flatten(2), mixed.view(n, channels, channels))
        return x.add_(y.view(n, height, width, channels))


def _normed(x: Tensor, norm: Any) -> Tensor:
    """Layer norm over the last dimension."""
    return F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
