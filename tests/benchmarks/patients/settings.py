"""Random complete trainings: pictures, a model, an objective, optimizers. `faults` makes them ill.

A seed says everything: `setting(seed)` builds the same training again, and `Setting.train` runs it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.distributions import Distribution

from aelib import datasets, heads, losses, models, priors, training
from aelib.contexts import seeded
from aelib.datasets import Batch, Examples, Split
from aelib.losses import Objective
from benchmarks.patients.networks import Decoder, Encoder, bce_and_kl, convolutional, mse
from benchmarks.patients.pictures import PICTURES, loaded

VERSION = 2  # of everything here: another number makes every patient again


@dataclass
class Setting:
    """A training, complete but for its weights.

    Args:
        objects, net, kind: pictures, network and kind of autoencoder, by name.
        valid: given to the training and to `diagnose`.
        after: what happens to model and history behind the training.
    """

    seed: int
    objects: str
    net: str
    kind: str
    data: Split[Any]
    valid: Examples
    model: models.Autoencoder
    objective: Objective
    latent: int
    lr: float
    epochs: int
    batch_size: int
    optimizers: Callable[[nn.Module, float], Any]
    schedule: dict[str, Any] | None
    rng: np.random.Generator
    after: list[Callable[["Setting"], None]] = field(default_factory=list)
    history: training.History = field(default_factory=training.History)
    made: Any = None  # the optimizers

    def __str__(self) -> str:
        return f"{self.objects} {'×'.join(map(str, self.data.shape))}, {self.net}, {self.kind}"

    @property
    def is_vae(self) -> bool:
        """With a posterior and a KL in its objective."""
        return self.model.prior is not None

    @property
    def channels(self) -> int:
        """Of the pictures."""
        return self.data.shape[0]

    def map(self, f: Callable[[Batch], Batch]) -> None:
        """A transform of the pictures, in training and validation."""
        self.data = replace(self.data, train=self.data.train.map(f))
        self.valid = self.valid.map(f)

    def build(self) -> None:
        """Make the optimizers, unless they are made."""
        self.made = self.optimizers(self.model, self.lr) if self.made is None else self.made

    def train(self) -> None:
        """The training itself; one that diverges leaves what it has made."""
        self.build()
        loop = training.train(
            self.model, self.data.train, self.objective, self.made, epochs=self.epochs,
            batch_size=self.batch_size, valid=self.valid, schedule=self.schedule, history=self.history,
            seed=self.seed, device="cpu",
        )  # fmt: skip
        try:
            for _ in loop:
                pass
        except training.DivergedError:
            pass
        with seeded(self.seed):
            for f in self.after:
                f(self)
        self.model.eval()


# a random setting

KINDS = (
    "AE squared", "AE squared", "AE bernoulli", "AE laplace", "AE by hand", "denoising", "sparse",
    "VAE bernoulli", "VAE bernoulli", "VAE by hand", "VAE σ learnt", "VAE σ learnt", "VAE σ fixed",
    "VAE σ optimal", "β-VAE", "free bits", "conditional VAE", "conditional VAE", "conditional AE", "IWAE",
)  # fmt: skip
NETS = ("linear", "mlp", "mlp", "conv", "conv", "fcn", "by hand", "by hand", "batch norm", "conv by hand")
LIKELIHOODS = {
    "AE squared": "gaussian", "AE laplace": "laplace", "AE by hand": "gaussian", "denoising": "gaussian",
    "sparse": "gaussian", "VAE σ learnt": "gaussian-learnt", "VAE σ fixed": "gaussian",
    "VAE σ optimal": "gaussian-optimal", "conditional AE": "gaussian",
}  # fmt: skip
FIXED = 0.15  # the σ of "VAE σ fixed"


def optimizer(rng: np.random.Generator) -> Callable[[nn.Module, float], Any]:
    """Adam for most, one or two of them."""
    return [
        lambda m, lr: training.adam(m, lr),
        lambda m, lr: torch.optim.Adam([p for p in m.parameters() if p.requires_grad], lr),
        lambda m, lr: {"loss": [torch.optim.Adam(part.parameters(), lr) for part in (m.encoder, m.decoder)]},
    ][rng.choice(3, p=[0.5, 0.3, 0.2])]


def setting(seed: int) -> Setting:
    """A healthy training, drawn at random."""
    rng = np.random.default_rng(seed)
    objects, net, kind = (str(rng.choice(v)) for v in (list(PICTURES), NETS, KINDS))
    train, valid = loaded(objects)
    if net in ("batch norm", "conv by hand") and kind == "IWAE":
        kind = "VAE bernoulli"
    shape, colour = train.shape, train.shape[0] == 3
    posterior = "deterministic" if kind in ("denoising", "sparse") or "AE" in kind.split()[:1] else "gaussian"
    if kind == "conditional AE":
        posterior = "deterministic"
    conditions, condition = 0, None
    if kind.startswith("conditional"):
        known = not train.classes or train.attributes is not None or len(train.classes) > 30
        conditions = (
            0
            if known and train.attributes is None
            else (train.attributes.shape[1] if known else len(train.classes))
        )
        if objects == "lfw":
            conditions = 0
            kind = {"conditional VAE": "VAE bernoulli", "conditional AE": "AE squared"}[kind]
        else:
            condition = datasets.conditioned(None if known else conditions)
    latent = int(rng.choice([12, 16, 24] if colour else [6, 8, 12]))
    latent = max(2, latent // 4) if net == "fcn" else latent * (2 if kind == "sparse" else 1)
    likelihood = LIKELIHOODS.get(kind, "bernoulli")
    with seeded(seed):
        model = _model(rng, shape, net, posterior, likelihood, conditions, latent, kind)
    if kind == "sparse":
        model.encoder = nn.Sequential(*model.encoder[:-1], nn.ReLU(), model.encoder[-1])
    if kind == "VAE σ fixed":
        model.decoder[-1] = heads.Gaussian(FIXED)
    objectives: dict[str, Objective] = {
        "AE by hand": mse, "sparse": partial(losses.sparse, weight=0.003), "VAE by hand": bce_and_kl,
        "β-VAE": partial(losses.elbo, beta=float(rng.uniform(0.3, 3))),
        "free bits": partial(losses.elbo, free_bits=0.3), "IWAE": partial(losses.iwae, samples=3),
    }  # fmt: skip
    usual = losses.reconstruction if posterior == "deterministic" else losses.elbo
    batch_size = int(rng.choice([32, 48, 64]))
    steps = 360 if net in ("linear", "mlp", "by hand", "batch norm") else 250
    split, lrs = Split(train, valid, valid), (3e-3, 5e-3, 8e-3)
    s = Setting(
        seed, objects, net, kind, split, valid, model, objectives.get(kind, usual), latent,
        lr=float(rng.choice(lrs)), epochs=-(-steps * batch_size // len(train)), batch_size=batch_size,
        optimizers=optimizer(rng), schedule={"lr": training.cosine()} if rng.random() < 0.6 else None,
        rng=rng,
    )  # fmt: skip
    if condition:
        s.map(condition)
    if kind == "denoising":
        s.map(datasets.noisy(float(rng.uniform(0.1, 0.35))))
    return s


def _model(
    rng: np.random.Generator, shape: tuple[int, ...], net: str, posterior: str, likelihood: str,
    conditions: int, latent: int, kind: str,
) -> models.Autoencoder:  # fmt: skip
    width = int(rng.choice([64, 96, 128]))
    keywords: dict[str, Any] = {"posterior": posterior, "likelihood": likelihood, "conditions": conditions}
    build = partial(models.autoencoder, shape, **keywords)
    if net == "linear":
        return build(latent, net="linear")
    if net == "mlp":
        return build(latent, net="mlp", hidden=(width, width // 2) if rng.random() < 0.5 else (width,))
    if net == "batch norm":
        return build(latent, net="mlp", hidden=(width,), norm=nn.BatchNorm1d)
    if net == "conv":
        return build(latent, net="conv", hidden=(8, 16) if rng.random() < 0.7 else (8, 16, 32))
    if net == "fcn":
        return build(latent, net="fcn", hidden=(8, 16))
    q_head = heads.Gaussian() if posterior == "gaussian" else heads.Deterministic()
    p_head = models.LIKELIHOODS[likelihood]()
    out, code = latent * q_head.factor, latent + conditions
    if net == "by hand":
        parts = Encoder(shape, conditions, out, width), Decoder(code, shape, width)
    else:
        parts = convolutional(shape, conditions, out, code)
    prior = priors.StandardNormal(latent) if posterior == "gaussian" else None
    encoder, decoder = (nn.Sequential(part, h) for part, h in zip(parts, (q_head, p_head), strict=True))
    return models.Autoencoder(encoder, decoder, prior)


# what the training made, measured without `diagnose`


@torch.no_grad()
def measured(s: Setting) -> dict[str, float]:
    """Health in numbers: variance explained in training and validation, against PCA's; codes; the trend."""
    out: dict[str, float] = {}
    with seeded(0):
        for name, part in (("train", s.data.train), ("valid", s.valid)):
            b = next(iter(part.batches(len(part))))
            if not all(v.isfinite().all() for v in (b.x, b.target, *s.model.parameters())):
                return {"train": -math.inf, "valid": -math.inf, "pca": 0.0, "active": 0.0}
            x_hat = s.model.reconstruct(b.x, b.c)
            out[name] = 1 - ((x_hat - b.target).square().sum()
                             / (b.target - b.target.mean(0)).square().sum()).item()  # fmt: skip
            if name == "train":
                flat = (b.target - b.target.mean(0)).flatten(1)
                q: Distribution = s.model.encode(b.x, b.c)
                codes = q.mean.flatten(1)
                energy = torch.linalg.eigvalsh((flat.T @ flat).double()).flip(0)
                out["pca"] = (energy[: codes.shape[1]].sum() / energy.sum()).item()
                out["active"] = (codes.var(0) > 0.01).float().mean().item()
                z = q.sample().flatten(1)
                m, cov = z.mean(0), z.T.cov()
                if s.is_vae and cov.isfinite().all():
                    eye = 1e-6 * torch.eye(len(m))
                    gap = 0.5 * (m.square().sum() + cov.trace() - len(m) - torch.logdet(cov + eye))
                    out["gap"] = gap.item() / len(m)  # KL(N(m, S) ‖ N(0, 1)) in nats per dimension
    curve = [r["valid/loss"] for r in s.history if "valid/loss" in r]
    if len(curve) > 3:
        fall = curve[0] - min(curve)
        out["still falling"] = (curve[3 * len(curve) // 4] - curve[-1]) / max(fall, 1e-12)
    return out
