"""A faster forward pass for birder's DaViT: the same weights and outputs, channels last throughout.

birder's module keeps activations as (n, channels, height, width) between its blocks and as (n, tokens, channels) inside
them, and copies from one layout to the other several times per block. Here they are (n, height, width, channels) from
the stem to the end, which a convolution reads as `channels_last`, a linear layer as tokens and window attention as rows
of tokens. Operations are fused where algebra allows:

* `x + convolution(x)` of a block's position encoding is one convolution with 1 added to the centre of its kernel
  (in float32; the steps of a half precision near 1 are too coarse for the weight that it would be added to);
* channel attention mixes the channels of a head by a small matrix, and a linear layer follows: the matrix is
  multiplied with that layer's weights, a few thousand numbers, not with the tokens;
* on the CPU the two layers of a block's MLP process a few rows at a time, so that the activations between them, four
  times as wide as the block's, stay in the cache.

Dropout and stochastic depth do nothing at inference, and are left out.
"""

from __future__ import annotations

from birdwatchd.species.network.torch_errors import quiet_import

# isort: split
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the usual name for it

with quiet_import():
    from birder.net.davit import ChannelAttention, ChannelBlock, DaViT, FlorenceChannelAttention, SpatialBlock

__all__ = ["Davit", "is_davit"]

# Bytes of activations between the two layers of an MLP at once, on the CPU. Measured with davit_tiny at 384, one
# thread: 0.5, 1, 2, 4 MB and everything (14 MB): 532, 488, 469, 455 and 454 … 492 ms per crop, the last with 4000 page
# faults, because the system takes back blocks of that size and hands out new, zeroed ones.
_MLP_CHUNK_BYTES = 4 << 20


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
    """birder's DaViT for inference only, with birder's `embedding` and `classify`.

    It shares weights with the network that it was made from, which must not be changed or moved afterwards.

    Args:
        net: birder's network in evaluation mode, float32, on the CPU; one that `is_davit`.
        dtype: of the weights and of everything between them; the last layer norm and the classifier stay float32,
            since bfloat16 holds a logit of 10 only to 0.03.
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
        """Embeddings of crops.

        Args:
            inputs: normalised, any float dtype, shape (n, 3, height, width), best in `channels_last`.

        Returns:
            Embeddings, float32, shape (n, dim).
        """
        x = self.stem(inputs.to(self.stem.weight.dtype)).permute(0, 2, 3, 1)
        x = _layer_norm(x, self.stem_norm)
        for stage in self.stages:
            x = stage(x)
        return _layer_norm(x.mean(dim=(1, 2), dtype=torch.float32), self.norm)

    def classify(self, embedding: Tensor) -> Tensor:
        """Embeddings, shape (n, dim), to logits, shape (n, classes)."""
        logits: Tensor = self.classifier(embedding)
        return logits


class _Stage(nn.Module):
    """The blocks of one resolution after the convolution that reduces to it; (n, h, w, c) in and out."""

    def __init__(self, stage: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.down = _Downsample(stage.downsample) if hasattr(stage.downsample, "conv") else nn.Identity()
        self.blocks = nn.Sequential(
            *(_SpatialBlock(b, dtype) if type(b) is SpatialBlock else _ChannelBlock(b, dtype) for b in stage.blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        """To (n, height, width, channels) of this stage."""
        out: Tensor = self.blocks(self.down(x))
        return out


class _Downsample(nn.Module):
    """Halve the resolution by a strided convolution; odd sizes are padded with zeros below and right."""

    def __init__(self, down: Any) -> None:
        super().__init__()
        self.norm, self.conv = down.norm, down.conv
        self.stride = down.conv.kernel_size[0] if down.even_k else 1

    def forward(self, x: Tensor) -> Tensor:
        _, height, width, _ = x.shape
        x = _layer_norm(x, self.norm)
        below, right = -height % self.stride, -width % self.stride
        if below or right:
            x = F.pad(x, (0, 0, 0, right, 0, below))
        out: Tensor = self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return out.contiguous()


class _PositionEncoding(nn.Module):
    """Convolutional position encoding: x + a depthwise convolution of x over the eight neighbours of each token."""

    def __init__(self, position: Any, dtype: torch.dtype) -> None:
        super().__init__()
        conv = position.proj
        self.fused = dtype == torch.float32
        weight = conv.weight.detach().clone()
        if self.fused:
            weight[:, :, weight.shape[2] // 2, weight.shape[3] // 2] += 1
        self.weight, self.bias = nn.Parameter(weight, requires_grad=False), conv.bias
        self.padding, self.groups = conv.padding, conv.groups

    def forward(self, x: Tensor) -> Tensor:
        conv = F.conv2d(x.permute(0, 3, 1, 2), self.weight, self.bias, padding=self.padding, groups=self.groups)
        conv = conv.permute(0, 2, 3, 1).contiguous()
        return conv if self.fused else conv.add_(x)


class _Block(nn.Module):
    """What blocks of both kinds share: position encoding, attention, position encoding, MLP."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.position1, self.norm1 = _PositionEncoding(block.cpe1, dtype), block.norm1
        self.position2, self.norm2 = _PositionEncoding(block.cpe2, dtype), block.norm2
        self.heads = block.attn.num_heads
        self.qkv, self.proj = block.attn.qkv, block.attn.proj
        self.fc1, self.fc2 = (layer for layer in block.mlp if isinstance(layer, nn.Linear))

    def forward(self, x: Tensor) -> Tensor:
        """(n, h, w, c) to (n, h, w, c)."""
        x = self.position2(self._attention(self.position1(x)))
        tokens = x.view(-1, x.shape[-1])
        rows = len(tokens)
        if x.device.type == "cpu":
            rows = max(64, _MLP_CHUNK_BYTES // (self.fc1.out_features * x.element_size()))
        for part in torch.split(tokens, rows):
            part.add_(self.fc2(F.gelu(self.fc1(_layer_norm(part, self.norm2)))))
        return x

    def _attention(self, x: Tensor) -> Tensor:
        """x plus the attention over its tokens or channels; may be computed in place."""
        raise NotImplementedError


class _SpatialBlock(_Block):
    """Spatial attention: each token attends to the others of its window."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        super().__init__(block, dtype)
        self.window = block.window_size
        self.scale = block.attn.scale

    def _attention(self, x: Tensor) -> Tensor:
        n, height, width, channels = x.shape
        window_h, window_w = self.window
        below, right = -height % window_h, -width % window_w
        padded = F.pad(x, (0, 0, 0, right, 0, below)) if below or right else x
        y = _layer_norm(x, self.norm1)
        if below or right:
            y = F.pad(y, (0, 0, 0, right, 0, below))
        grid = (n, (height + below) // window_h, window_h, (width + right) // window_w, window_w, channels)
        tokens = y.view(grid).transpose(2, 3).reshape(-1, window_h * window_w, channels)
        qkv = self.qkv(tokens).view(-1, window_h * window_w, 3, self.heads, channels // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        y = self.proj(y.transpose(1, 2).reshape(-1, channels))
        padded.view(grid).add_(y.view(grid[0], grid[1], grid[3], window_h, window_w, channels).transpose(2, 3))
        return padded[:, :height, :width].contiguous()


class _ChannelBlock(_Block):
    """Channel attention: the channels of a head attend to each other, over all tokens."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        super().__init__(block, dtype)
        self.florence = type(block.attn) is FlorenceChannelAttention
        self.scale = None if self.florence else block.attn.scale

    def _attention(self, x: Tensor) -> Tensor:
        """Per head, a = softmax(scale · kᵀ v) is (d, d), and the output proj(q aᵀ) is q (aᵀ projᵀ) over all heads.

        Florence's variant permutes the roles of q, k and v, and its scale is the number of tokens to the power of -½.
        """
        n, height, width, channels = x.shape
        tokens, depth = height * width, channels // self.heads
        qkv = self.qkv(_layer_norm(x, self.norm1)).view(n, tokens, 3, self.heads, depth)
        first, second, third = (0, 1, 2) if self.florence else (1, 2, 0)
        scale = tokens**-0.5 if self.scale is None else self.scale
        left = qkv[:, :, first].permute(0, 2, 3, 1).reshape(-1, depth, tokens)
        right = qkv[:, :, second].permute(0, 2, 1, 3).reshape(-1, tokens, depth)
        mix = torch.baddbmm(left.new_zeros(()), left, right, beta=0, alpha=scale).softmax(dim=-1)
        proj = self.proj.weight.t().reshape(1, self.heads, depth, channels)
        mixed = mix.view(n, self.heads, depth, depth).transpose(-1, -2) @ proj
        y = torch.baddbmm(self.proj.bias, qkv[:, :, third].flatten(2), mixed.view(n, channels, channels))
        return x.add_(y.view(n, height, width, channels))


def _layer_norm(x: Tensor, norm: Any) -> Tensor:
    """Layer norm over the last dimension."""
    return F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
