"""The rule: how long, in which batches and by which optimizer to train, where the caller does not say."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import nn

from ..baselines import pca
from ..datasets import Data, Images
from ..datasets.graph import Graph
from ..heads import Gaussian, VectorQuantizer
from ..losses import Objective, elbo, nll, profile_nll, reconstruction
from ..metrics import evaluate, mse
from .loop import check
from .optim import Optimizers, adam, cosine, muon

STEPS, EPOCHS = 2000, (10, 50)  # as many steps of √N examples, but not fewer and not more epochs
WARM_UP = 0.2  # of the training: a model that starts as PCA leaves it slowly, if that was the best it can be
BATCH = 8, 128  # a batch is √N examples, rounded to a power of two between these
FROM_RANDOM, SMALL_BATCH = {"conv": 4000}, 32  # net → the fewest examples for which a random start is better
NUMBERS = 2**20  # in a batch, at most: what a step of large pictures may cost
LR = {"adam": 1e-3, "muon": 0.02}
MUON_FLOPS = 5e9  # operations a step that Muon may cost beyond Adam; wide layers cost more, and get Adam
LINEAR_LR, LINEAR_EPOCHS = 0.1, 5  # one that starts as PCA is there; Adam's, over the numbers in an example
QUANTIZED_LR = 2e-3  # Adam's, for a model with a codebook, which has to follow the encoder
GRAPH_EPOCHS, GRAPH_LR = 200, 0.01  # one step an epoch, by Adam
MIRRORED = 1.1  # times the error of the others, up to which mirrored pictures fit a PCA of so many components
COMPONENTS = 32
QUICK = 10  # --quick takes this part of the steps


@dataclass(frozen=True)
class Choice:
    """The settings of a training; as a text, one line.

    Attributes:
        n, what: how many examples, and what they are called.
        steps: in all epochs together.
        optimizer: "adam", "muon", or "own": the caller's.
        schedule: of the learning rate, "cosine" or "constant".
        beta: weight of the KL, for a graph's ELBO; None: the objective's own.
        profiled: validation is measured with the σ that suits it, not with the one that was learnt.
    """

    n: int
    what: str
    epochs: int
    steps: int
    batch_size: int
    optimizer: str
    lr: float
    schedule: str
    beta: float | None = None
    profiled: bool = False

    def __str__(self) -> str:
        own, name = self.optimizer == "own", self.optimizer.capitalize()
        how = "your optimizer" if own else f"{name}, learning rate {self.lr:g}, {self.schedule}"
        batches = "" if self.what == "nodes" else f" in batches of {self.batch_size}"
        length = f"{self.steps:,} steps{batches} ({self.epochs:,} epochs)"
        return f"{self.n:,} {self.what}: {length}, {how}" + (f", β = {self.beta:.2g}" if self.beta else "")

    def optimizers(self, model: nn.Module) -> Optimizers:
        """The optimizer, made for this model."""
        return muon(model, self.lr) if self.optimizer == "muon" else adam(model, self.lr)

    def goal(self, objective: Objective) -> Objective:
        """The objective as validation has it; with `schedules` training has it as it is.

        Where β was chosen links alone count, as there are fewer of them. Where σ is learnt, the best one for
        the validation examples does, by `losses.profile_nll`: the training examples' soon is too small.
        """
        if self.beta:
            return partial(objective, beta=0.0)
        return partial(objective, error=profile_nll) if self.profiled else objective

    def schedules(self) -> dict[str, Callable[[float], Any]]:
        """What `train` takes as its schedule."""
        lr, beta = {"lr": cosine(WARM_UP)} if self.schedule == "cosine" else {}, self.beta
        trained: Any = {"beta": lambda t: beta} if beta else {"error": lambda t: nll} if self.profiled else {}
        return lr | trained


def choose(
    model: nn.Module, data: Data, objective: Objective | None = None, *,
    epochs: int | None = None, batch_size: int | None = None,
    optimizer: str = "auto", lr: float | None = None, schedule: str = "cosine", quick: bool = False,
) -> Choice:  # fmt: skip
    """The settings for this model and these data; what is given stays.

    * A batch: √N examples, rounded to a power of two from 8 to 128, of a million numbers at most.
    * Epochs: 2,000 such steps, but at least 10 and at most 50. A graph is one step an epoch: 200.
    * `net="conv"` from random weights, with 4,000 examples and more: as many epochs in batches of 32.
    * Muon, with a learning rate of 0.02, where a step of it costs little; else Adam. Adam for a codebook.
    * A linear model that starts as PCA is there: 5 epochs of Adam, slowly.
    * A warm-up over a fifth of the training, then a cosine.
    * Validation, which says the best epoch, does not depend on a learnt σ; see `Choice.goal`.
    * β = E / N² for the ELBO of a graph of N nodes with E links, as Kipf and Welling's code has it: a node's
      few links never earn what a KL of weight 1 costs.

    Args:
        objective: `losses.elbo` itself leaves β to the rule.
        epochs, batch_size, optimizer, lr, schedule: None or "auto" are chosen.
        quick: a tenth of the steps, if they are chosen, for a first look.
    """
    check(data, epochs=epochs or 1, batch_size=1 if batch_size is None else batch_size)
    if lr is not None and not lr >= 0:
        raise ValueError(f"lr, the learning rate, is a number from 0 up; got {lr}")
    graph = isinstance(getattr(data, "graph", None), Graph)
    quantized = any(isinstance(m, VectorQuantizer) for m in model.modules())
    recipe = getattr(model, "recipe", None) or {}
    there = recipe.get("net") == "linear" and "start" in recipe
    n = len(data)
    few, fitting = BATCH[0], max(1, NUMBERS // max(1, math.prod(getattr(data, "shape", ()))))
    most = min(BATCH[1], max(few, 2 ** int(math.log2(fitting))))
    usual = min(max(2 ** round(math.log2(max(n, 1)) / 2), few), most) if batch_size is None else batch_size
    if epochs is None:
        few, most = EPOCHS
        epochs = min(max(-(-STEPS // -(-n // usual)), few), most)
        epochs = GRAPH_EPOCHS if graph else LINEAR_EPOCHS if there else epochs
        epochs = max(1, epochs // QUICK) if quick else epochs
    if batch_size is None:
        small = "start" not in recipe and n >= FROM_RANDOM.get(str(recipe.get("net")), math.inf)
        batch_size = min(usual, SMALL_BATCH) if small else usual
    each = 1 if graph else -(-n // batch_size)
    if optimizer == "auto":
        optimizer = "adam" if graph or quantized or there or _muon_flops(model) > MUON_FLOPS else "muon"
    if lr is None:
        special = GRAPH_LR if graph else QUANTIZED_LR if quantized else None
        special = LINEAR_LR / max(1000, math.prod(recipe["shape"])) if there else special
        lr = special if special and optimizer == "adam" else LR.get(optimizer, math.nan)
    what = "nodes" if graph else "pictures" if isinstance(data, Images) else "examples"
    beta = data.graph.links.shape[1] / n**2 if graph and objective is elbo else None  # type: ignore[attr-defined]
    learnt = any(isinstance(m, Gaussian) and m.log_scale is not None and m.log_scale.requires_grad
                 for m in model.modules())  # fmt: skip
    bound = getattr(objective, "func", objective) in (elbo, reconstruction)
    profiled = learnt and bound and "error" not in getattr(objective, "keywords", {})
    return Choice(n, what, epochs, epochs * each, batch_size, optimizer, lr, schedule, beta, profiled)


def mirrored(train: Images, valid: Images) -> bool:
    """May pictures be mirrored at random? Yes, if PCA of the training pictures fits mirrored ones as well.

    It does for most photos, and not for letters and digits.
    """
    if len(train.shape) != 3 or len(train) < 2 or not len(valid):
        return False
    known = pca(train, min(COMPONENTS, len(train) // 2))
    turned = valid.map(lambda b: replace(b, x=b.x.flip(-1), target=b.target.flip(-1)))
    plain, mirror = (evaluate(known, v, {"mse": mse})["mse"] for v in (valid, turned))
    return mirror <= MIRRORED * plain


def _muon_flops(model: nn.Module) -> float:
    """What Muon's five iterations over the matrices cost in a step: 4 a² b + 2 a³ each, a ≤ b."""
    sizes: list[Any] = [sorted(p.shape) for p in model.parameters() if p.ndim == 2 and p.requires_grad]
    return sum(5.0 * (4 * a * a * b + 2 * a**3) for a, b in sizes)
