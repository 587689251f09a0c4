"""What is wrong with an autoencoder: measured, named, and with a cure."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from ..contexts import evaluating, seeded
from ..datasets import Examples, Split
from ..losses import Objective
from ..models import Autoencoder
from ..training import Optimizers, Record
from . import data as d
from . import learning as t
from . import wiring as w
from .evidence import Check, Evidence, Finding

# the order of evidence: what comes first explains what looks wrong behind it
CHECKS: list[Check] = [
    d.missing_numbers, w.broken_weights, w.broken_outputs, w.broken_loss, d.alike, d.out_of_range,  # numbers
    d.idle_corruption, d.other_target, d.noisy_target, t.unused_target,  # target against input
    d.unrelated_condition, d.condition_values, d.condition_holds_picture,
    w.unsteady, w.narrow, w.lost_condition,  # what passes
    t.unseen_pixels, w.unreachable_pixels, w.unreachable_codes, w.stuck_together,
    t.error_missing, w.no_gradient, w.no_optimizer, w.idle_optimizer, w.encoder_without_error,
    t.mixed_images, t.hidden_beta, t.another_kl, t.no_noise, t.penalty_on_weights,  # the loss
    d.among_train, d.prepared_differently, d.other_images,  # what is measured
    t.stale_statistics, t.shrunken_weights, t.hindered,  # training
    t.steps_too_large, t.vanishing_gradient, t.dead_units, t.steps_too_small,
    t.collapse, t.ignored_condition, t.codes_off_the_prior, d.overfitting,  # its result
]  # fmt: skip
DECISIVE = {d.missing_numbers, w.broken_weights, w.broken_outputs, d.alike}  # then everything looks ill


@dataclass(frozen=True)
class Report:
    """What `diagnose` returns; it shows itself.

    Args:
        causes: the findings, the most likely cause first; none for a healthy model.
        measures: name → number: what was measured on the way.
    """

    causes: list[Finding]
    measures: dict[str, float]

    @property
    def names(self) -> list[str]:
        """The names of the causes."""
        return [cause.name for cause in self.causes]

    def __repr__(self) -> str:
        lines = [] if self.causes else ["nothing found"]
        for i, cause in enumerate(self.causes, 1):
            lines += [f"{i}. {cause.name}", f"   evidence: {cause.evidence}", f"   cure: {cause.cure}"]
        return "\n".join([*lines, "measured: " + ", ".join(f"{k} {v:.3g}" for k, v in self.measures.items())])

    def _repr_html_(self) -> str:
        texts = [[html.escape(text) for text in (c.name, c.evidence, c.cure)] for c in self.causes]
        items = [f"<li><b>{name}</b><br>{evidence}<br><i>{cure}</i></li>" for name, evidence, cure in texts]
        cells = "".join(f"<tr><td>{k}</td><td>{v:.3g}</td></tr>" for k, v in self.measures.items())
        found = f"<ol>{''.join(items)}</ol>" if items else "<p>nothing found</p>"
        return f"{found}<details><summary>measured</summary><table>{cells}</table></details>"


def diagnose(
    model: Autoencoder, data: Examples | Split, objective: Objective | None = None, *,
    valid: Examples | None = None, history: Sequence[Record] | None = None,
    optimizers: Optimizers | None = None,
) -> Report:  # fmt: skip
    """Why a model fails: a report that names the likely causes, each with its evidence and a cure.

    The order is that of `CHECKS`: numbers, data, wiring, the loss, and last the training and its codes. What
    is wrong early explains what looks wrong late: repair the first cause, then diagnose again. Each check
    asks for behaviour (what changes when this is changed?) on at most 1,024 images, many on a copy of the
    model with new weights: a fault of the wiring shows there whatever the training made of it. The model
    and the caller's randomness stay as they are.

    Args:
        data: the training images with their transforms, or a split, whose `valid` is then used too.
        objective: what the model was trained with; without it, nothing is said about the loss, and the
            gradients are those of `losses.elbo`, or, for a plain autoencoder, of `losses.reconstruction`.
        valid: validation images, prepared like the training images.
        history: the records of the training.
        optimizers: those of the training: an optimizer, or a dict term → optimizer(s).

    TypeError for no autoencoder, or no images; ValueError for fewer than two images.

    >>> from aelib import datasets, models
    >>> digits = datasets.load("digits")
    >>> diagnose(models.autoencoder(digits.shape, 4, net="mlp"), digits).names[0]
    'hardly trained'
    """
    if not isinstance(model, Autoencoder):
        raise TypeError(f"diagnose takes an Autoencoder, with encode and decode; got {type(model).__name__}")
    if isinstance(data, Split) and valid is None:
        valid = data.valid
    train: Examples = data.train if isinstance(data, Split) else data
    for part in (train, valid):
        if part is not None and not isinstance(part, Examples):
            raise TypeError(f"diagnose takes Images or other Examples, or a Split; got {type(part).__name__}")
        if part is not None and len(part) < 2:
            raise ValueError(f"a diagnosis needs two images at least, better hundreds; got {len(part)}")
    with evaluating(model), seeded(0, model.device):
        evidence = Evidence(model, train, objective, valid, history or [], optimizers)
        causes: dict[str, Finding] = {}
        for check in CHECKS:
            if finding := check(evidence):
                causes.setdefault(finding.name, finding)
                if check in DECISIVE:
                    break
        last = t.one_for_all(evidence) if not causes else None
        return Report([last] if last else list(causes.values()), evidence.measures())


__all__ = ["CHECKS", "Finding", "Report", "diagnose"]
