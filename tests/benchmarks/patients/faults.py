"""What learners do wrong: each fault is a function that makes a `settings.Setting` ill.

For each it is written, before anything is judged, which names of a finding count as right, because they lead
to the line that is to be repaired, and which are symptoms: true of this patient, but a consequence.
"""

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from aelib import losses, models
from aelib.datasets import Batch
from benchmarks.patients.settings import Setting

Effect = Callable[[dict[str, float], dict[str, float]], bool]


@dataclass(frozen=True)
class Fault:
    """A fault.

    Args:
        code: of `make`: a fault that is changed is made again.
        right, symptoms: parts of names of findings.
        needs: settings in which it can be.
        effect: (patient, healthy twin) as `settings.measured` → whether this patient is ill; None: the fault
            stands in what `diagnose` is given, whatever the training made of it.
    """

    name: str
    family: str
    make: Callable[[Setting], None]
    code: str
    right: tuple[str, ...]
    symptoms: tuple[str, ...]
    needs: Callable[[Setting], bool]
    effect: Effect | None


FAULTS: dict[str, Fault] = {}
WEAK = ("hardly trained", "the same picture for every image")  # what follows when nothing is learnt
NO_USE = (*WEAK, "posterior collapse", "codes far from the prior")
RANGE = ("pixels outside the likelihood's range",)
COLLAPSE = ("posterior collapse",)
OTHERS = ("inputs and targets of different images",)
CHANGED = ("target is a changed input", *OTHERS)  # both lead to the line that makes the target
NOISE = ("noise in the target",)


def worse(ill: dict[str, float], twin: dict[str, float]) -> bool:
    """At least a fifth of what the twin explains in validation is lost."""
    return not ill["valid"] >= 0.8 * twin["valid"]


def code_of(f: Callable[..., Any]) -> str:
    """A function's text, whatever its layout."""
    tree: Any = ast.parse(inspect.getsource(f)).body[0]
    return ast.dump(ast.Module(tree.body, []))


def fault(
    family: str, right: tuple[str, ...], symptoms: tuple[str, ...] = (),
    needs: Callable[[Setting], bool] = lambda s: True, effect: Effect | None = None,
) -> Callable[[Callable[[Setting], None]], Callable[[Setting], None]]:  # fmt: skip
    """Add a function to `FAULTS`."""

    def add(f: Callable[[Setting], None]) -> Callable[[Setting], None]:
        name = f.__name__.replace("_", " ")
        FAULTS[name] = Fault(name, family, f, code_of(f), right, symptoms, needs, effect)
        return f

    return add


def elbo_like(s: Setting) -> bool:
    """Its objective is an error and a KL."""
    return s.is_vae and s.kind not in ("IWAE", "free bits")


def takes_error(s: Setting) -> bool:
    """Its objective takes another error."""
    return s.kind != "IWAE"


def colour(s: Setting) -> bool:
    return s.channels == 3


def flat_code(s: Setting) -> bool:
    return s.net != "fcn"


def conditional(s: Setting) -> bool:
    return s.kind.startswith("conditional")


def unconditional(s: Setting) -> bool:
    return not conditional(s)


def relu_net(s: Setting) -> bool:
    return s.net == "by hand"


def deep(s: Setting) -> bool:
    return s.net in ("mlp", "by hand", "conv")


def labelled(s: Setting) -> bool:
    return s.objects in ("digits", "mnist", "fashion", "letters") and unconditional(s)


# surgery


class Layer(nn.Module):
    """A function as a layer."""

    def __init__(self, f: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.f = f

    def forward(self, h: Tensor) -> Tensor:
        """f(h)."""
        return self.f(h)


class OnCode(nn.Module):
    """A layer on the code alone, not on the condition beside it."""

    def __init__(self, layer: nn.Module, size: int) -> None:
        super().__init__()
        self.layer, self.size = layer, size

    def forward(self, h: Tensor) -> Tensor:
        """Same shape."""
        return torch.cat([self.layer(h[:, : self.size]), h[:, self.size :]], 1)


def before(part: nn.Module, *layers: nn.Module) -> nn.Sequential:
    """The part behind other layers."""
    return nn.Sequential(*layers, part)


def at_code(s: Setting, f: Callable[[Tensor], Tensor]) -> None:
    """f on the code, before the decoder sees it, and the condition left alone."""
    k = s.latent

    def both(h: Tensor) -> Tensor:
        return torch.cat([f(h[:, :k]), h[:, k:]], 1)

    s.model.decoder = before(s.model.decoder, Layer(both))


def at_head(s: Setting, part: str, layer: nn.Module) -> None:
    """A layer before the head of the encoder or decoder."""
    old = getattr(s.model, part)
    setattr(s.model, part, nn.Sequential(*list(old)[:-1], layer, old[-1]))


def linears(part: nn.Module) -> list[nn.Module]:
    """Its linear layers and convolutions."""
    return [m for m in part.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]


def masked_error(mask: Callable[[Tensor], Tensor], by_hand: bool) -> Callable[..., Tensor]:
    """(p, target) → (B,) on the pixels of a mask alone."""

    def error(p: Any, target: Tensor) -> Tensor:
        seen = mask(target).expand_as(target)
        if by_hand:
            return (50 * (p.mean - target).square() * seen).flatten(1).sum(1)
        return losses.nll(p, target, seen.bool())

    return error


def with_error(s: Setting, error: Callable[..., Tensor]) -> None:
    """The objective with another error."""
    s.objective = partial(s.objective, error=error)


def of_parts(s: Setting, f: Callable[..., Tensor]) -> None:
    """A hand-written objective f(error, kl, q, z, p, batch) → loss (B,) or a number."""

    def objective(model: models.Autoencoder, batch: Batch) -> losses.Terms:
        q, z, p = model(batch.x, batch.c)
        error = losses.nll(p, batch.target)
        kl = losses.kl_term(q, model.prior(batch.c), z) if model.prior is not None else torch.zeros(())
        loss = f(error, kl, q, z, p, batch)
        return {"loss": loss if loss.shape == (len(batch),) else loss.mean().expand(len(batch))}

    s.objective = objective
