"""What page 14 alone has: faces as numbers, tokens of them, a prior's training, an explorer."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from torch import Tensor, nn

from aelib import heads, losses, metrics, models, plots, runs, training
from aelib.contexts import evaluating, seeded
from aelib.datasets import Examples, Images
from aelib.distributions import Quantized
from aelib.explorers.widgets import Explorer, Panel, row
from aelib.models import Autoencoder

MEMORY = 5, 50  # examples that a vector's running mean remembers, in the first epoch and in the last
WORDS = 256  # of a token: as many as a byte has
WIDE = 1.5  # standard deviations to one unit of tanh: levels of 4 to 16 then fit a Gaussian nearly best

# ---- a face as numbers -------------------------------------------------------------------------------------


class Rotation(nn.Module):
    """The first K principal components of training pictures: (B, C, H, W) → (B, K), in units of pixels.

    The rows of V are orthogonal and of length 1, so a squared error of the K numbers is one of the pixels,
    but for what K components lose.
    """

    def __init__(self, data: Images, k: int, seed: int = 0) -> None:
        super().__init__()
        x = data.batch().x.flatten(1)
        with seeded(seed):
            v = torch.svd_lowrank(x - x.mean(0), q=k, niter=3)[2]
        self.shape, self.mean, self.v = data.shape, nn.Buffer(x.mean(0)), nn.Buffer(v)
        deviation = ((x - self.mean) @ v).std(0)
        self.scale = nn.Buffer(deviation.clamp_min(1e-3 * deviation.max()))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, K)"""
        return (x.flatten(1) - self.mean) @ self.v

    def back(self, numbers: Tensor) -> Tensor:
        """(B, K) → (B, C, H, W), as a picture: from 0 to 1."""
        return (numbers @ self.v.T + self.mean).clamp(0, 1).unflatten(1, self.shape)


def mirrored(data: Images) -> Images:
    """The pictures, and after them the same from left to right turned round."""
    return Images(np.concatenate([data.pixels, data.pixels[..., ::-1]]))


def shared_out(variance: Tensor, tokens: int, bits: float) -> list[int]:
    """How many of the numbers, from the first on, each token stands for, so that all carry as many bits.

    A Gaussian number of variance λ that may err by m costs ½ log₂ λ/m bits (none, if λ < m). The m is chosen
    for which all numbers together cost tokens · bits.

    ValueError: there are fewer numbers than tokens.
    """
    if len(variance) < tokens:
        raise ValueError(f"{tokens} tokens need at least as many numbers; got {len(variance)}")
    low, high = variance.min().item() * 1e-6, variance.max().item()
    for _ in range(100):
        m = math.sqrt(low * high)
        cost = 0.5 * (variance / m).log2().clamp_min(0)
        low, high = (m, high) if cost.sum() > tokens * bits else (low, m)
    used, sizes, start = cost.cumsum(0), [], 0
    active = max(tokens, int((cost > 0).sum()))
    for t in range(tokens):
        stop = int((used[:active] < (t + 1) * bits - 1e-3).sum()) if t < tokens - 1 else active
        stop = min(max(stop, start + 1), active - (tokens - 1 - t))
        sizes.append(stop - start)
        start = stop
    return sizes


# ---- tokens ------------------------------------------------------------------------------------------------


class Codebooks(nn.Module):
    """Head with the library's `VectorQuantizer` for each token: (B, A) → codes of N tokens, N ≤ A.

    Token n is the nearest of `words` vectors of its own codebook to its own numbers, `sizes[n]` of them.
    """

    factor = 1

    def __init__(self, sizes: Sequence[int], words: int = WORDS) -> None:
        super().__init__()
        self.sizes, self.words = list(sizes), words
        self.each = nn.ModuleList(heads.VectorQuantizer(words, size) for size in sizes)

    def forward(self, h: Tensor) -> Quantized:
        """(B, A) → the rounded code, a distribution with indices (B, N)."""
        parts = zip(self.each, h.split(self.sizes, 1), strict=True)
        found = [quantizer(part) for quantizer, part in parts]
        value, indices = (torch.cat([getattr(q, name) for q in found], 1) for name in ("mean", "indices"))
        return Quantized(value, indices, sum(q.commitment for q in found))

    def vectors(self, tokens: Tensor) -> Tensor:
        """(B, N) → (B, A)"""
        return torch.cat([q.codebook[i] for q, i in zip(self.each, tokens.T, strict=True)], 1)

    def remember(self, examples: float, batch: int) -> None:
        """From now on running means are over the last `examples` of a vector, if all are used alike."""
        for q in self.each:
            q.decay = math.exp(-batch / self.words / examples)


def levels_of(scale: Tensor, words: int = WORDS) -> Tensor:
    """(d,) in how many levels to cut each of a token's numbers: at most `words` combinations in all.

    The number whose step is the widest gets the next level, as long as there is room.
    """
    levels = torch.ones(len(scale))
    while True:
        room = levels.prod() / levels * (levels + 1) <= words + 1e-6
        if not room.any():
            return levels
        levels[torch.where(room, scale / levels, -1.0).argmax()] += 1


class Levels(nn.Module):
    """Head of finite scalar quantisation: (B, A) → codes of N tokens, without a codebook.

    Args:
        cut: (h (B, d), levels (d,)) → (B, d), each tanh h as the middle of its level, in (−1, 1).
        scale: (A,) standard deviations of what comes in.
    """

    factor = 1

    def __init__(self, cut: Callable, sizes: Sequence[int], scale: Tensor, words: int = WORDS) -> None:
        super().__init__()
        self.cut, self.sizes, self.scale = cut, list(sizes), nn.Buffer(scale)
        self.levels = nn.Buffer(torch.cat([levels_of(part, words) for part in scale.split(self.sizes)]))

    def forward(self, h: Tensor) -> Quantized:
        """(B, A) → the rounded code, a distribution with indices (B, N)."""
        unit = WIDE * self.scale
        value = self.cut(h / unit, self.levels)
        place = ((value.detach() + 1) / 2 * self.levels).floor().long()
        pairs = zip(place.split(self.sizes, 1), self.levels.long().split(self.sizes), strict=True)
        base = [(at * torch.cat([n.new_ones(1), n[:-1]]).cumprod(0)).sum(1) for at, n in pairs]
        return Quantized(value.atanh() * unit, torch.stack(base, 1), torch.zeros(len(h)))


class Refined(nn.Module):
    """(B, A) → (B, D): the first numbers as they are, and a network's correction, which begins at 0."""

    def __init__(self, given: Tensor, wanted: Tensor, width: int) -> None:
        super().__init__()
        self.given, self.wanted = nn.Buffer(given), nn.Buffer(wanted)
        last = nn.Linear(width, len(wanted))
        nn.init.zeros_(last.weight), nn.init.zeros_(last.bias)
        self.net = nn.Sequential(nn.Linear(len(given), width), nn.GELU(), last)

    def forward(self, h: Tensor) -> Tensor:
        """(B, A) → (B, D)"""
        more = len(self.wanted) - h.shape[1]
        same = nn.functional.pad(h, (0, more)) if more > 0 else h[:, : len(self.wanted)]
        return same + self.wanted * self.net(h / self.given)


def tokeniser(scale: Tensor, head: nn.Module, width: int, seed: int = 0) -> Autoencoder:
    """An autoencoder of PCA's numbers (B, K) whose encoder ends in this head of tokens."""
    coded = scale[: sum(head.sizes)]
    with seeded(seed):
        there, back = Refined(scale, coded, width), Refined(coded, scale, width)
    return models.Autoencoder(nn.Sequential(there, head), nn.Sequential(back, heads.Gaussian(1.0)))


def settled(model: Autoencoder, numbers: Tensor, epochs: int, seed: int = 0) -> Autoencoder:
    """The tokeniser after its codebooks followed numbers (M, K) by running means; its networks stay."""
    head, batch = model.encoder[-1], min(256, len(numbers))
    model.train()
    with seeded(seed), torch.no_grad():
        for examples in np.geomspace(*MEMORY, epochs):
            head.remember(float(examples), batch)
            for rows in torch.randperm(len(numbers)).split(batch):
                model.encoder(numbers[rows])
    return model.eval()


class AtRest(nn.Module):
    """An encoder that learns nothing, not even the running means of its codebooks."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Quantized:
        """(B, K) → its tokens' code"""
        with torch.no_grad(), evaluating(self.inner):
            return self.inner(x)


def decoding(
    model: Autoencoder, numbers: Tensor, epochs: int, seed: int = 0, lr: float = 1e-3
) -> Autoencoder:
    """The tokeniser after its decoder learnt to correct what its tokens say; they stay as they are."""
    frozen = models.Autoencoder(AtRest(model.encoder), model.decoder)
    _train(frozen, losses.reconstruction, model.decoder, numbers, epochs, seed, lr)
    return model.cpu().eval()


def jointly(model: Autoencoder, numbers: Tensor, epochs: int, seed: int = 0, lr: float = 1e-3) -> Autoencoder:
    """The tokeniser after encoder, codebooks and decoder learnt together, by `losses.vector_quantized`."""
    if isinstance(model.encoder[-1], Codebooks):
        model.encoder[-1].remember(MEMORY[-1], min(256, len(numbers)))
    _train(model, losses.vector_quantized, model, numbers, epochs, seed, lr)
    return model.cpu().eval()


def _train(
    model: Autoencoder, objective: Any, learns: nn.Module, numbers: Tensor, epochs: int, seed: int, lr: float
) -> None:
    runs.fit(
        model, Examples(numbers.numpy()), partial(objective, error=losses.squared_error),
        torch.optim.AdamW(learns.parameters(), lr=lr, weight_decay=1e-2), epochs=epochs,
        batch_size=min(256, len(numbers)), seed=seed, schedule={"lr": training.cosine()},
    )  # fmt: skip


@torch.no_grad()
def tokens_of(model: Autoencoder, numbers: Tensor) -> Tensor:
    """(B, K) → (B, N), which word each token is."""
    return model.encode(numbers).indices


@torch.no_grad()
def from_tokens(model: Autoencoder, rotation: Rotation, tokens: Tensor) -> Tensor:
    """(B, N) → (B, C, H, W), what is decoded from the tokens."""
    return rotation.back(model.decode(model.encoder[-1].vectors(tokens)).mean)


@torch.no_grad()
def error(model: Autoencoder, rotation: Rotation, x: Tensor) -> float:
    """The mean squared error per pixel of pictures x (B, C, H, W), decoded from their tokens."""
    return metrics.mse(rotation.back(model.reconstruct(rotation(x))), x).mean().item()


# ---- a prior over tokens -----------------------------------------------------------------------------------


def fit_words(net: nn.Module, logits: Callable, tokens: Tensor, epochs: int, seed: int = 0) -> list[float]:
    """Trains `net`; `logits` of tokens (B, N) are (B, N, words), of each token from those before it.

    Returns the mean cost of a token in bits, an epoch each.
    """
    steps = epochs * -(-len(tokens) // 128)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.1)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
    history = []
    with seeded(seed):
        for _ in range(epochs):
            costs = []
            for rows in torch.randperm(len(tokens)).split(128):
                loss = nn.functional.cross_entropy(logits(tokens[rows]).flatten(0, 1), tokens[rows].flatten())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                rate.step()
                costs.append(loss.item() / math.log(2))
            history.append(float(np.mean(costs)))
    return history


# ---- an explorer -------------------------------------------------------------------------------------------


def swapped(model: Autoencoder, rotation: Rotation, first: Tensor, second: Tensor, kept: int) -> Tensor:
    """(B, C, H, W): the first `kept` tokens of one face's (B, N), the others of another's."""
    mixed = torch.cat([first[:, :kept], second[:, kept:]], 1)
    return from_tokens(model, rotation, mixed)


def swapping(model: Autoencoder, rotation: Rotation, photos: plots.Pictures) -> Explorer:
    """Choose two faces, and how many tokens of the first are kept; the others are the second's."""
    x = torch.as_tensor(photos)
    tokens = tokens_of(model, rotation(x))
    one = widgets.IntSlider(0, 0, len(x) - 1, description="face")
    other = widgets.IntSlider(1, 0, len(x) - 1, description="other")
    kept = widgets.IntSlider(tokens.shape[1] // 2, 0, tokens.shape[1], description="kept")
    panels = Panel("face"), Panel("tokens of both"), Panel("other")

    def draw() -> None:
        a, b = (slice(s.value, s.value + 1) for s in (one, other))
        shown = x[a], swapped(model, rotation, tokens[a], tokens[b], kept.value), x[b]
        for panel, picture in zip(panels, shown, strict=True):
            panel.show(picture)

    explorer = Explorer("swapping", draw, one, other, kept)
    return explorer.of(row(one, other, kept), row(*panels))
