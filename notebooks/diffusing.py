"""What page 15 alone has: a diffusion as a prior of codes, its samplers and bound, an explorer of steps."""

import math
from itertools import pairwise
from typing import Any

import ipywidgets as widgets
import torch
from torch import Tensor, nn
from torch import distributions as D

from aelib import latent, plots, runs, training
from aelib.contexts import evaluating, seeded
from aelib.datasets import Batch, Examples
from aelib.errors import shown
from aelib.explorers.widgets import Explorer, Panel, row
from aelib.models import Autoencoder

# of the time: at 0 nothing is noise, at 1 nothing is code. Between these log SNR is from 9.7 to −8.3, so that
# its integral is finite, and what is lost at the ends is small: see the tests
FIRST, LAST = 0.005, 0.99


def schedule(t: Tensor) -> tuple[Tensor, Tensor]:
    """α = cos(π t / 2) and σ = sin(π t / 2), of t's shape: how much code and noise there is at time t.

    α² + σ² = 1: numbers of variance 1 keep it at all times ("variance preserving"). Source: Nichol, Dhariwal,
    2021, https://arxiv.org/abs/2102.09672.
    """
    angle = torch.as_tensor(t) * (torch.pi / 2)
    return angle.cos(), angle.sin()


def log_snr(t: Tensor) -> Tensor:
    """λ = log α² / σ², the logarithm of the signal-to-noise ratio; it falls with t."""
    alpha, sigma = schedule(t)
    return 2 * (alpha / sigma).log()


def time_of(snr: Tensor) -> Tensor:
    """t of λ: the inverse of `log_snr`."""
    return (-snr / 2).exp().atan() * (2 / torch.pi)


def times(steps: int) -> Tensor:
    """(steps + 1,) times from `LAST` to `FIRST`, evenly spaced."""
    return torch.linspace(LAST, FIRST, steps + 1)


class Denoiser(nn.Module):
    """(B, K) noisy codes, (B,) times, (B, C) conditions or None → (B, K) v: a residual MLP.

    Every block is given features of t and of the condition. The last layer begins at zero, as v = 0 is the
    best guess about codes from N(0, 1).
    """

    def __init__(self, codes: int, conditions: int = 0, width: int = 256, blocks: int = 3) -> None:
        super().__init__()
        self.waves = nn.Buffer(torch.arange(1, 17) * (torch.pi / 2), persistent=False)
        self.enter = nn.Linear(codes, width)
        self.given = nn.Sequential(nn.Linear(2 * 16 + 1 + conditions, width), nn.SiLU())
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(blocks)
        )
        self.norm, self.leave = nn.LayerNorm(width), nn.Linear(width, codes)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, z: Tensor, t: Tensor, c: Tensor | None = None) -> Tensor:
        """(B, K), (B,) and (B, C) or None → (B, K)."""
        wave = t[:, None] * self.waves
        told = [wave.cos(), wave.sin(), log_snr(t)[:, None] / 8]
        told = self.given(torch.cat(told if c is None else [*told, c], 1))
        h = self.enter(z)
        for block in self.blocks:
            h = h + block(torch.cat([nn.functional.layer_norm(h, h.shape[1:]), told], 1))
        return self.leave(self.norm(h))


class Diffusion(nn.Module):
    """The prior of codes (K,) that noise becomes, step by step; `forward(c)` is the distribution `Diffused`.

    Codes are standardised, x = (code − mean) / scale. At time t there is z = α x + σ ε, ε from N(0, 1). The
    network guesses v = α ε − σ x, and with it x̂ = α z − σ v and ε̂ = σ z + α v. Train it with `v_error`.

    Args:
        codes: (N, K) training codes, whose mean and scale are kept.
        conditions: numbers of a condition; all 0 means "not told".
        net: (B, K), (B,) times, (B, C) or None → (B, K); None: a `Denoiser` of these options.
        steps: of the sampler, each an evaluation of the network (two with guidance).
        noise: how much of each step's noise is new: 1 is the ancestral sampler, 0 is DDIM, which adds none.
        guidance: w; v(z, c) is taken w times as far from v(z) without a condition. 1 is the condition alone.

    Source: Ho, Jain, Abbeel, 2020, https://arxiv.org/abs/2006.11239; v: Salimans, Ho, 2022,
    https://arxiv.org/abs/2202.00512; on codes: Rombach et al., 2022, https://arxiv.org/abs/2112.10752.

    >>> prior = Diffusion(torch.randn(100, 4), conditions=3)
    >>> prior().sample((5,)).shape, prior(torch.eye(3)).sample().shape
    (torch.Size([5, 4]), torch.Size([3, 4]))
    """

    def __init__(
        self, codes: Tensor, conditions: int = 0, *, net: nn.Module | None = None, steps: int = 50,
        noise: float = 0.0, guidance: float = 1.0, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        if codes.ndim != 2 or len(codes) < 2:
            raise ValueError(f"a diffusion needs codes (N, K), at least two; got {tuple(codes.shape)}")
        self.mean, self.scale = nn.Buffer(codes.mean(0)), nn.Buffer(codes.std(0).clamp_min(1e-6))
        self.net = Denoiser(codes.shape[1], conditions, **options) if net is None else net
        self.conditions, self.steps, self.noise, self.guidance = conditions, steps, noise, guidance

    def forward(self, c: Tensor | None = None) -> "Diffused":
        """(B, C) → distribution with batch shape (B,); None → one with batch shape ()."""
        if c is not None and c.shape[1:] != (self.conditions,):
            raise ValueError(f"a condition is (B, {self.conditions}); got {tuple(c.shape)}")
        return Diffused(self, c)

    def v(self, z: Tensor, t: Tensor, c: Tensor | None = None) -> Tensor:
        """(B, K) what the network guesses, guided, of noisy standardised codes (B, K), one or (B,) times."""
        t, nothing = t.expand(len(z)), z.new_zeros(len(z), self.conditions) if self.conditions else None
        if c is None or self.guidance == 1:
            return self.net(z, t, nothing if c is None else c)
        free = self.net(z, t, nothing)
        return free + self.guidance * (self.net(z, t, c) - free)

    def step(self, z: Tensor, now: Tensor, then: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, K) z at an earlier time, and x̂, the guess at the code that it was made with.

        z' = α' x̂ + √(σ'² − η²) ε̂ + η ε, with η = noise · (σ' / σ) √(1 − α² / α'²): the ancestral sampler's
        standard deviation is that of q(z'|z, x). Source: Song, Meng, Ermon, 2021,
        https://arxiv.org/abs/2010.02502.
        """
        (alpha, sigma), (alpha_then, sigma_then) = schedule(now), schedule(then)
        v = self.v(z, now, c)
        x, e = alpha * z - sigma * v, sigma * z + alpha * v
        new = self.noise * (sigma_then / sigma) * (1 - (alpha / alpha_then) ** 2).clamp_min(0).sqrt()
        kept = (sigma_then**2 - new**2).clamp_min(0).sqrt()
        return alpha_then * x + kept * e + new * torch.randn_like(z), x

    @torch.no_grad()
    def walk(self, z: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(steps + 1, B, K) from noise z to codes, and the same of x̂; both in units of codes.

        The first of z is the noise; the last x̂ is what is sampled.
        """
        at, seen, guesses = times(self.steps).to(z), [z], []
        for now, then in pairwise(at):
            z, x = self.step(z, now, then, c)
            seen, guesses = [*seen, z], [*guesses, x]
        alpha, sigma = schedule(at[-1])
        guesses.append(alpha * z - sigma * self.v(z, at[-1], c))  # the little noise of the last time goes too
        return self.mean + self.scale * torch.stack(seen), self.mean + self.scale * torch.stack(guesses)


class Diffused(D.Distribution):
    """Distribution over codes (K,) of which there are samples, and a bound on log p.

    −log p(x) ≤ KL(q(z₁|x) ‖ N(0, 1)) + ½ ∫ e^λ |x − x̂|² dλ + E[−log p(x|z₀)], in nats. The integral is over
    λ = log SNR, and p(x|z₀) is N(z₀ / α₀, σ₀² / α₀²). Source: Kingma et al., 2021, https://arxiv.org/abs/2107.00630.
    """

    arg_constraints = {}  # noqa: RUF012
    support = D.constraints.independent(D.constraints.real, 1)

    def __init__(self, prior: Diffusion, c: Tensor | None = None) -> None:
        self.prior, self.c = prior, c
        shape = torch.Size([] if c is None else [len(c)])
        super().__init__(shape, prior.mean.shape, validate_args=False)

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        """(*sample_shape, B, K) codes, or (*sample_shape, K) without a condition."""
        p, shape = self.prior, self._extended_shape(torch.Size(sample_shape))
        z = torch.randn(math.prod(shape[:-1]), shape[-1], dtype=p.mean.dtype, device=p.mean.device)
        c = None if self.c is None else self.c.expand(*sample_shape, *self.c.shape).flatten(0, -2)
        return p.walk(z, c)[1][-1].view(shape)

    def log_prob(self, value: Tensor, draws: int = 32, seed: int = 0) -> Tensor:
        """(B,) the bound in nats, of codes (B, K); its noise and times are those of a seed.

        The integral is a mean over one time in each of `draws` equal parts of λ. What v itself would give is
        known, α² K + σ² |x|² on average, so only the difference is noisy.
        """
        p, k = self.prior, value.shape[-1]
        x = (value - p.mean) / p.scale
        ends = log_snr(torch.tensor([LAST, FIRST], dtype=x.dtype, device=x.device))
        g, width, total = torch.Generator().manual_seed(seed), ends[1] - ends[0], x.new_zeros(len(x))
        for i in range(draws):
            part = (i + torch.rand(len(x), generator=g).to(x)) / draws
            t = time_of(ends[0] + width * part)
            z, v, alpha, sigma = noised(x, torch.randn(x.shape, generator=g).to(x), t)
            error = (v - p.v(z, t, self.c)).square().sum(1) - v.square().sum(1)
            usual = alpha[:, 0] ** 2 * k + sigma[:, 0] ** 2 * x.square().sum(1)
            total = total + 0.5 * width * alpha[:, 0] ** 2 * (error + usual) / draws
        (alpha, sigma), (alpha0, sigma0) = schedule(time_of(ends[0])), schedule(time_of(ends[1]))
        total = total + 0.5 * (alpha**2 * x.square().sum(1) + k * (sigma**2 - 1 - 2 * sigma.log()))
        last = 0.5 * k * (math.log(2 * math.pi) + 1 + 2 * (sigma0 / alpha0).log())
        return -total - last - p.scale.log().sum()


def noised(x: Tensor, e: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """z = α x + σ ε and v = α ε − σ x, both (B, K), and α and σ (B, 1), of codes, noise and (B,) times."""
    alpha, sigma = (a[:, None] for a in schedule(t))
    return alpha * x + sigma * e, alpha * e - sigma * x, alpha, sigma


def v_error(model: Diffusion, batch: Batch, drop: float = 0.15) -> dict[str, Tensor]:
    """(B,) |v − v̂|² at random times, one per example, that are evenly spaced over the batch.

    Args:
        drop: the share of conditions that is set to 0 in training, so that the model also learns to do
            without; guidance needs both.
    """
    x, c, n = (batch.x - model.mean) / model.scale, batch.c, len(batch.x)
    t = (torch.randperm(n, device=x.device) + torch.rand(n, device=x.device)) / n
    t = FIRST + (LAST - FIRST) * t
    z, v, *_ = noised(x, torch.randn_like(x), t)
    if c is not None and model.training:
        c = c * (torch.rand(n, 1, device=x.device) >= drop)
    if c is None and model.conditions:
        c = x.new_zeros(n, model.conditions)
    return {"loss": (v - model.net(z, t, c)).square().sum(1)}


def fitted(
    codes: Tensor, c: Tensor | None = None, seed: int = 0, epochs: int = 20, **options: Any
) -> Diffusion:
    """A diffusion fitted to codes (N, K), perhaps with conditions (N, C), as `fit_prior` fits others."""
    with seeded(seed):
        prior = Diffusion(codes, 0 if c is None else c.shape[1], **options)
    data = Examples(codes.numpy())
    if c is not None:
        k = codes.shape[1]
        data = Examples(torch.cat([codes, c], 1).numpy()).map(
            lambda b: Batch(b.x[:, :k], b.x[:, :k], b.x[:, k:])
        )
    runs.fit(
        prior, data, v_error, training.adam(prior, 2e-3, weight_decay=0.01), epochs=epochs, batch_size=256,
        schedule={"lr": training.cosine()}, seed=seed, device="cpu",
    )  # fmt: skip
    return prior.eval().requires_grad_(False)


# ---- an explorer of the steps -----------------------------------------------------------------------------


def steps_images(
    model: Autoencoder, at: int, n: int = 8, c: Tensor | None = None, seed: int = 0
) -> dict[str, Tensor]:
    """Name → (n, C, H, W): the noisy codes after `at` steps, decoded, and the guesses at what they become.

    Args:
        model: whose prior is a `Diffusion`.
        at: from 0 (noise) to the prior's steps (what is sampled).
        c: (n, C) conditions of the prior.
        seed: of the noise.

    TypeError if the prior is another; ValueError for a step that does not exist.
    """
    prior = _learnt(model)
    if not 0 <= at <= prior.steps:
        raise ValueError(f"steps are from 0 to {prior.steps}; got {shown(at, 'step')}")
    with seeded(seed), evaluating(model):
        z, x = prior.walk(torch.randn(n, len(prior.mean)), c)
    return {"noisy": latent.decode(model, z[at]), "guess": latent.decode(model, x[at])}


def _learnt(model: Autoencoder) -> Diffusion:
    if not isinstance(model.prior, Diffusion):
        raise TypeError(f"only a Diffusion has steps to show; this model's prior is {model.prior}")
    return model.prior


def steps(model: Autoencoder, c: Tensor | None = None, n: int = 8) -> Explorer:
    """Move through the steps from noise to codes, both decoded; "draw again" begins with other noise.

    TypeError if the model's prior is no `Diffusion`.
    """
    last = _learnt(model).steps
    number = widgets.IntSlider(last // 2, 0, last, description="step")
    noisy, guess = Panel("the noisy code", side=448), Panel("the guess", side=448)

    def draw() -> None:
        found = steps_images(model, number.value, n, c, explorer.seed)
        for panel, x in zip((noisy, guess), found.values(), strict=True):
            panel.show(plots.tile(x, columns=4).transpose(2, 0, 1)[None])

    explorer = Explorer("steps", draw, number)
    again = explorer.button("draw again", "other noise", explorer.again)
    return explorer.of(row(number, again), row(noisy, guess))
