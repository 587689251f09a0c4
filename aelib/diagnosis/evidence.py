"""The evidence of a diagnosis: a model, its data, and what is measured of them, each thing once.

Randomness is seeded here: `diagnose` gives the caller's back at its end.
"""

import copy
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.module import register_module_forward_hook

from ..datasets import Batch, Examples
from ..distributions import Delta
from ..losses import Objective, elbo, kl_per_dimension, reconstruction
from ..models import Autoencoder
from ..training import Optimizers, Record
from ..training.optim import by_term
from .loss import LossWeights, loss_weights, some_of

SAMPLE = 256  # images looked at
STEPS = 100  # of a training on trial
Gradients = dict[str, Tensor | None]
# a finding's name → what to do
CURES = tomllib.loads(Path(__file__).with_name("cures.toml").read_text("utf-8"))


@dataclass(frozen=True)
class Finding:
    """One cause: its name, and the evidence for it in numbers."""

    name: str
    evidence: str

    @property
    def cure(self) -> str:
        """What to do."""
        return CURES[self.name]


class Outcome(NamedTuple):
    """What a model makes of a batch: posterior, its means (B, K), a sample, reconstructions at the means."""

    q: Distribution
    codes: Tensor
    z: Tensor
    p: Distribution
    x_hat: Tensor


def spread(data: Examples, n: int = SAMPLE) -> np.ndarray:
    """At most n rows, evenly spread over a set."""
    return np.unique(np.linspace(0, len(data) - 1, n).astype(int))


def sample(data: Examples, device: torch.device, seed: int = 0) -> Batch:
    """At most `SAMPLE` images with the transforms of the data."""
    torch.manual_seed(seed)
    return data[spread(data)].batch(device)


def explained(x_hat: Tensor, target: Tensor) -> float:
    """The share of the targets' variance that x̂ explains: 1 is perfect, 0 the mean image for everybody."""
    return 1 - ((x_hat - target).square().sum() / (target - target.mean(0)).square().sum()).item()


def reinitialise(module: nn.Module, seed: int = 0) -> None:
    """Every layer that knows how to start gets new weights, in place."""
    torch.manual_seed(seed)
    for layer in module.modules():
        if callable(reset := getattr(layer, "reset_parameters", None)):
            reset()


@dataclass
class Evidence:
    """A model in evaluation mode, its data, and measurements that are made when first asked for."""

    model: Autoencoder
    data: Examples
    given: Objective | None
    valid_data: Examples | None
    history: Sequence[Record]
    optimizers: Optimizers | None

    def __post_init__(self) -> None:
        self.batch = sample(self.data, self.model.device)
        self.valid = None if self.valid_data is None else sample(self.valid_data, self.model.device, seed=2)
        held = by_term(self.optimizers or {})
        # parameters with their learning rate, and the term that they descend
        self.groups = [(term, g) for term, some in held.items() for o in some for g in o.param_groups]

    # what goes in and comes out

    @torch.no_grad()
    def look(self, model: Autoencoder, batch: Batch) -> Outcome:
        """One pass, always with the same noise."""
        torch.manual_seed(1)
        q = model.encode(batch.x, batch.c)
        p = model.decode(q.mean, batch.c, model.sized(batch.x))
        return Outcome(q, q.mean.flatten(1), q.rsample(), p, p.mean)

    @cached_property
    def outcome(self) -> Outcome:
        """What the model makes of the training images."""
        return self.look(self.model, self.batch)

    @cached_property
    def many(self) -> list[Batch]:
        """More of the training images, 1,024 at most, in batches."""
        torch.manual_seed(3)  # noise of its own
        return list(self.data[spread(self.data, 4 * SAMPLE)].batches(SAMPLE, device=self.model.device))

    @cached_property
    def explained(self) -> float:
        """The share of variance explained, of the training images."""
        return explained(self.outcome.x_hat, self.batch.target)

    @cached_property
    def kl(self) -> Tensor | None:
        """(K,) the KL of each dimension of the code in nats, where posterior and prior have one."""
        if self.model.prior is None or isinstance(self.outcome.q, Delta):
            return None
        try:
            with torch.no_grad():
                each = kl_per_dimension(self.outcome.q, self.model.prior(self.batch.c))
        except (TypeError, NotImplementedError):
            return None
        return each.expand(len(self.batch), *each.shape[1:]).flatten(1).mean(0)

    @property
    def active(self) -> Tensor:
        """(K,) dimensions of the code whose mean varies over the images; see `metrics.active_units`."""
        return self.outcome.codes.var(0) > 0.01

    # copies whose weights are a start: what they cannot do, no training can teach them

    @cached_property
    def fresh(self) -> Autoencoder:
        """The same wiring, its weights set back to a start."""
        model = copy.deepcopy(self.model)
        reinitialise(model)
        return model

    @cached_property
    def growth(self) -> dict[str, float]:
        """Root mean square of each weight matrix, in units of what it is at the start."""
        start = dict(self.fresh.named_parameters())
        return {
            name: (w.square().mean() / start[name].square().mean()).sqrt().item()
            for name, w in self.model.named_parameters()
            if w.ndim > 1 and w.requires_grad and start[name].any() and not w.equal(start[name])
        }

    @cached_property
    def lags(self) -> bool:
        """Whether it explains less than half of what a PCA does; a tenth, if the objective is not known."""
        return self.explained < (0.1 if self.given is None else 0.5) * self.linear

    @cached_property
    def linear(self) -> float:
        """The share of variance that a PCA of these images explains with as many numbers as the code has."""
        t = (self.batch.target - self.batch.target.mean(0)).flatten(1).cpu().double()
        each = torch.linalg.eigvalsh(t @ t.T).flip(0)
        return (each[: self.outcome.codes.shape[1]].sum() / each.sum().clamp_min(1e-30)).item()

    @cached_property
    def longer(self) -> float:
        """Variance explained after a few steps more."""
        return self.trial(self.model)

    @cached_property
    def restarted(self) -> float:
        """Variance explained after the same few steps from the start."""
        return self.trial(self.fresh)

    @torch.enable_grad()
    def trial(self, model: Autoencoder, dropout: bool = True, objective: Objective | None = None) -> float:
        """The share of variance that a copy explains after `STEPS` of Adam, perhaps by other rules."""
        model = copy.deepcopy(model).train().requires_grad_()
        for m in model.modules():
            if isinstance(m, _DropoutNd) and not dropout:
                m.p = 0.0
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        many = self.many  # with other noise than in the batch that is looked at
        torch.manual_seed(0)
        for k in range(STEPS):
            some = many[k % len(many)]
            rows = torch.randint(len(some), (min(32, len(some)),)).to(self.model.device)
            loss = (objective or self.objective)(model, some_of(some, rows))["loss"].mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
        return explained(self.look(model.eval(), self.batch).x_hat, self.batch.target)

    # the loss and its gradients

    @property
    def objective(self) -> Objective:
        """What the model was trained with, or the usual one for its kind."""
        plain = self.model.prior is None or isinstance(self.outcome.q, Delta)
        return self.given or (reconstruction if plain else elbo)

    @torch.no_grad()
    def loss(self, model: Autoencoder, batch: Batch, seed: int = 0) -> Tensor:
        """(B,) or (): the loss, with the random numbers of this seed."""
        torch.manual_seed(seed)
        return self.objective(model, batch)["loss"]

    @cached_property
    def weights(self) -> LossWeights | None:
        """The weights of the terms in the objective that was given."""
        return self.given and loss_weights(self.given, self.model, self.fresh, self.batch)

    @cached_property
    def term_of(self) -> dict[str, str | None]:
        """Parameter → the term whose gradient it gets; None: no optimizer moves it."""
        held = {id(p): term for term, group in self.groups for p in group["params"]}
        return {name: held.get(id(p)) if self.groups else "loss" for name, p in self.model.named_parameters()}

    def gradients(self, model: Autoencoder) -> Gradients:
        """Trainable parameter → gradient of its own term's mean, None where none arrives."""
        named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        out: Gradients = dict.fromkeys(named)
        torch.manual_seed(0)
        with torch.enable_grad():
            terms = self.objective(model, self.batch)
            for term in {t or "loss" for t in self.term_of.values()}:
                mine = [name for name in named if (self.term_of[name] or "loss") == term]
                if mine and terms[term].requires_grad:
                    mean, weights = terms[term].mean(), [named[name] for name in mine]
                    found = torch.autograd.grad(mean, weights, retain_graph=True, allow_unused=True)
                    out |= dict(zip(mine, found, strict=True))
        return out

    @cached_property
    def trained_gradients(self) -> Gradients:
        """Of the model as it is."""
        return self.gradients(self.model)

    @cached_property
    def fresh_gradients(self) -> Gradients:
        """Of the copy that starts again."""
        return self.gradients(self.fresh)

    def order(self, part: str) -> list[str]:
        """The linear layers and convolutions of "encoder" or "decoder", by name, in the order they run."""
        names = {m: f"{part}.{n}" for n, m in getattr(self.model, part).named_modules()}
        ran: list[nn.Module] = []
        with register_module_forward_hook(lambda m, *_: ran.append(m)):
            self.look(self.model, self.batch)
        return list(dict.fromkeys(names[m] for m in ran if m in names and isinstance(m, nn.Linear | _ConvNd)))

    def by_unit(self, name: str, w: Tensor) -> Tensor:
        """(units, …) a layer's weight, or the gradient there, one row for each of its units."""
        turned = isinstance(self.model.get_submodule(name), _ConvTransposeNd)
        return (w.transpose(0, 1) if turned else w).flatten(1)

    @cached_property
    def dead(self) -> dict[str, float]:
        """Hidden layer → share of its units that get no gradient from any image, in the order they run."""
        out = {}
        for name in [*self.order("encoder")[:-1], *self.order("decoder")[:-1]]:
            weight, bias = (self.trained_gradients.get(f"{name}.{kind}") for kind in ("weight", "bias"))
            if weight is not None:
                units = self.by_unit(name, weight).abs().amax(1)
                units = units if bias is None else units.maximum(bias.abs())
                out[name] = (units == 0).float().mean().item()
        return out

    def driven(self, part: str) -> Outcome | None:
        """What comes out when the last layer of "encoder" or "decoder" gives ±1000; None without a layer."""
        if not (names := self.order(part)):
            return None
        last = self.model.get_submodule(names[-1])
        with last.register_forward_hook(lambda _, __, out: 1e3 * torch.randn_like(out).sign()):
            return self.look(self.model, self.batch)

    def measures(self) -> dict[str, float]:
        """What the report shows, as far as it could be measured."""
        x, target = self.batch.x, self.batch.target
        out = {"lowest pixel": target.min().item(), "highest pixel": target.max().item()}
        if not all(v.isfinite().all() for v in (x, target, *self.model.parameters())):
            return out
        out["variance explained"] = self.explained
        if (w := self.weights) is not None and w.kl is not None and w.error:
            out["β"] = w.kl / w.error
        out["spread of codes"] = self.outcome.codes.std(0).mean().item()
        if self.valid is not None:
            x_hat = self.look(self.model, self.valid).x_hat
            out["variance explained in validation"] = explained(x_hat, self.valid.target)
        if self.kl is not None:
            out |= {"KL (nats)": self.kl.sum().item(), "largest KL of a dimension": self.kl.max().item()}
            out |= {"active units": self.active.sum().item(), "units": float(len(self.active))}
        if self.dead:
            out["largest share of dead units in a layer"] = max(self.dead.values())
        for part in ("encoder", "decoder"):
            if mine := [g for n, g in self.trained_gradients.items() if n.startswith(part) and g is not None]:
                out[f"gradient at the {part}"] = sum(g.square().sum().item() for g in mine) ** 0.5
        return out


Check = Callable[[Evidence], Finding | None]


def finds(name: str) -> Callable[[Callable[[Evidence], str]], Check]:
    """A check from a function of the evidence that says what it found; nothing, if it found nothing."""

    def named(f: Callable[[Evidence], str]) -> Check:
        @wraps(f)
        def check(p: Evidence) -> Finding | None:
            return Finding(name, said) if (said := f(p)) else None

        return check

    return named
