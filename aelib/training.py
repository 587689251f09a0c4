"""Training: a generator whose caller's loop body is the callback, and `fit`, which runs it to its end."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from .datasets import Batch, Images
from .losses import Objective, Terms
from .models import evaluating, seeded

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision every time

Record = dict[str, float]
Optimizers = Optimizer | Mapping[str, Optimizer | Sequence[Optimizer]]
VALID_SEED = 2**31 - 1  # validation draws the same noise every epoch, so its curve shows the model only


class History(list[Record]):
    """One record an epoch: "epoch", "seconds", and each term as "train/…" and "valid/…", in nats."""

    def table(self) -> pd.DataFrame:
        """A row an epoch."""
        return pd.DataFrame(self).set_index("epoch") if self else pd.DataFrame()

    def plot(self, log: bool = False) -> Any:
        """Learning curves, a panel for each term, on a logarithmic scale if asked; returns the figure."""
        from . import plots

        return plots.curves(self, log)

    def best(self, key: str = "valid/loss") -> Record:
        """The record with the smallest value."""
        return min(self, key=lambda record: record[key])

    def __repr__(self) -> str:
        return self.table().to_string(float_format="{:.5g}".format) if self else "History(no epochs yet)"

    def _repr_html_(self) -> str:
        return self.table().to_html(float_format="{:.5g}".format, max_rows=12) if self else repr(self)


class DivergedError(FloatingPointError):
    """A term of the loss became NaN or infinite."""


class _Step(nn.Module):
    """The objective as a module's forward, which is what Fabric wraps (for precision, for many devices)."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: Callable[[], Batch], **keywords: float) -> Terms:
        # a batch would be rounded to bf16 on its way in, targets and all; a function passes untouched
        return self.objective(self.model, batch(), **keywords)


def adam(model: nn.Module, lr: float = 1e-3, weight_decay: float = 0.0) -> Optimizer:
    """AdamW over the model's trainable parameters, in its fused form: a fifth faster for an MLP on a CPU."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.AdamW(trainable, lr=lr, weight_decay=weight_decay, fused=True)


def muon(model: nn.Module, lr: float = 0.02) -> dict[str, list[Optimizer]]:
    """Muon over the model's matrices, Adam over the rest (biases, convolutions): for `train`'s optimizers.

    Muon makes each step of a weight matrix orthogonal, so that weak directions are learnt as fast as strong
    ones. It pays over many steps; after a few on a small set Adam can be ahead. A step costs more, and for
    layers of 500 and wider much more.

    Source: Jordan et al., 2024, https://kellerjordan.github.io/posts/muon; torch.optim.Muon.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trainable if p.ndim == 2]
    rest = [p for p in trainable if p.ndim != 2]
    optimizers: list[Optimizer] = []
    if matrices:
        optimizers.append(torch.optim.Muon(matrices, lr=lr, weight_decay=0.0))
    if rest:
        optimizers.append(torch.optim.AdamW(rest, lr=1e-3, weight_decay=0.0, fused=True))
    return {"loss": optimizers}


def warm_up(share: float = 0.1) -> Callable[[float], float]:
    """Schedule: from 0 to 1 in a straight line over the first share of the training, then 1."""
    return lambda t: min(1.0, t / share) if share else 1.0


def cosine(share: float = 0.05, end: float = 0.0) -> Callable[[float], float]:
    """Schedule: a warm-up over the first share of the training, then half a cosine from 1 down to `end`."""
    rise = warm_up(share)
    return lambda t: (
        rise(t) if t < share else end + (1 - end) * (1 + math.cos(math.pi * (t - share) / (1 - share))) / 2
    )


def train(
    model: nn.Module,
    data: Images,
    objective: Objective,
    optimizers: Optimizers | None = None,
    *,
    epochs: int,
    batch_size: int = 128,
    valid: Images | None = None,
    schedule: Mapping[str, Callable[[float], float]] | None = None,
    history: History | None = None,
    seed: int = 0,
    clip: float | None = None,
    device: str = "auto",
    precision: Any = "32-true",
    fabric: Fabric | None = None,
    tick: Callable[[int, int], object] | None = None,
) -> Iterator[Record]:
    """Train, and yield one record after every epoch; `break` ends it.

    Randomness of epoch e depends on (seed, e) alone and the caller's is left as it was. So a training
    that goes on from saved weights, optimizers and history ends bit-equal (on a CPU) to one that was
    never interrupted. After an epoch the model is in evaluation mode.

    Args:
        model: an `Autoencoder`, or any module that the objective understands. It is moved to the device.
        data: the training images.
        objective: (model, batch, **keywords) → named terms, (B,) each; its mean over the batch descends.
        optimizers: one for the term "loss" (`adam(model)` by default), or a dict term → optimizer(s),
            whose parameters get the gradient of that term alone.
        epochs: passes over the data, counted from the beginning of `history`.
        batch_size: the most images in a step.
        valid: images whose terms are recorded too, as "valid/…", with the objective's default keywords.
        schedule: keyword → function of the progress in [0, 1]: its value is given to the objective, in
            training only. The keyword "lr" is not given to it: it multiplies the learning rates.
        history: where records are appended; epochs it holds already are not trained again.
        clip: the largest norm of each optimizer's gradient.
        device: "auto" (CUDA, MPS, CPU in this order), "cuda", "mps", "cpu".
        precision: "32-true", or "bf16-mixed", or another of Lightning Fabric's.
        fabric: a Lightning Fabric of your own, in place of device and precision.
        tick: called after every step with the steps done and the steps there are.

    Raises:
        DivergedError: a term became NaN or infinite; names epoch, step and term.
        ValueError: no images, an optimizer of another model, or one for a term that the objective lacks.
    """
    if not hasattr(data, "batches"):
        hint = ": give it one part, as split.train" if hasattr(data, "train") else ""
        raise TypeError(f"train takes images, not {type(data).__name__}{hint}")
    if len(data) == 0:
        raise ValueError("there are no images to train on")
    if epochs < 1:
        raise ValueError(f"epochs is at least 1; got {epochs}")
    history = History() if history is None else history
    schedule = dict(schedule or {})
    scale = schedule.pop("lr", None)
    fabric = fabric or Fabric(accelerator=device, devices=1, precision=precision)
    fabric.to_device(model)
    by_term = _by_term(adam(model) if optimizers is None else optimizers)
    held = {id(p) for group in by_term.values() for o in group for g in o.param_groups for p in g["params"]}
    if not any(id(p) in held for p in model.parameters()):
        raise ValueError("the optimizer holds no parameter of this model: was it made for another one?")
    for optimizer in (o for group in by_term.values() for o in group if fabric.device.type != "cpu"):
        optimizer.load_state_dict(optimizer.state_dict())  # a state read from a file follows its parameters
    wrapped = fabric.setup(_Step(model, objective), *(o for group in by_term.values() for o in group))
    step, ready = wrapped[0], iter(wrapped[1:])
    by_term = {term: [next(ready) for _ in group] for term, group in by_term.items()}
    everyone = [o for group in by_term.values() for o in group]
    bases = [[g.setdefault("initial_lr", g["lr"]) for g in o.param_groups] for o in everyone]
    steps = -(-len(data) // batch_size)

    for epoch in range(len(history), epochs):
        start = time.perf_counter()
        with seeded(_mix(seed, epoch), fabric.device):
            model.train()
            log = _Log(steps, epoch, fabric.device)
            for i, batch in enumerate(data.batches(batch_size, _mix(seed, epoch), fabric.device)):
                progress = (epoch + i / steps) / epochs
                if scale:
                    for optimizer, lrs in zip(everyone, bases, strict=True):
                        for group, lr in zip(optimizer.param_groups, lrs, strict=True):
                            group["lr"] = lr * scale(progress)
                terms = step(lambda batch=batch: batch, **{name: f(progress) for name, f in schedule.items()})
                log.add(i, terms, len(batch))
                _descend(fabric, step, terms, by_term, clip)
                if tick:
                    tick(epoch * steps + i + 1, epochs * steps)
            record = {f"train/{k}": v for k, v in log.means().items()}
            model.eval()
        if valid is not None:
            record |= {f"valid/{k}": v for k, v in assess(model, valid, objective, fabric=fabric).items()}
        record = {"epoch": epoch + 1, **record, "seconds": time.perf_counter() - start}
        history.append(record)
        fabric.log_dict(record, step=epoch + 1)
        yield record


@torch.no_grad()
def assess(
    model: nn.Module,
    data: Images,
    objective: Objective,
    *,
    batch_size: int = 512,
    device: str = "auto",
    fabric: Fabric | None = None,
) -> Record:
    """The objective's terms on these images, averaged, without training: same noise at every call."""
    fabric = fabric or Fabric(accelerator=device, devices=1)
    model.to(fabric.device)
    with evaluating(model), seeded(VALID_SEED, fabric.device):
        log = _Log(-(-len(data) // batch_size), None, fabric.device)
        for i, batch in enumerate(data.batches(batch_size, device=fabric.device)):
            log.add(i, objective(model, batch), len(batch))
        return log.means()


def fit(model: nn.Module, data: Images, objective: Objective, *args: Any, **keywords: Any) -> History:
    """`train` to its end, with a progress bar; the same arguments. Returns the history.

    In a terminal or a notebook the bar moves; in a log file there is a line every few seconds.
    """
    history = keywords.setdefault("history", History())
    notebook = _in_notebook()
    live = sys.stderr.isatty() or notebook
    hidden: dict[str, Any] = {} if live else {"disable": True}  # not said when live: TQDM_DISABLE may say it
    bar = tqdm(
        file=sys.stdout if notebook else sys.stderr,  # what goes to stderr looks like an error in a notebook
        leave=False,
        mininterval=0.3,
        bar_format="{percentage:3.0f}% {bar:20} {elapsed} ({remaining} left)  {desc}",
        **hidden,
    )
    epochs, said = keywords.get("epochs"), time.perf_counter()

    def tick(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    with bar:
        for record in train(model, data, objective, *args, tick=tick, **keywords):
            text = ", ".join(f"{k} {v:.5g}" for k, v in record.items() if k.endswith("/loss"))
            bar.set_description_str(f"epoch {record['epoch']}/{epochs}: {text}", refresh=False)
            if not live and (time.perf_counter() - said > 10 or record["epoch"] == epochs):
                said = time.perf_counter()
                print(f"epoch {record['epoch']}/{epochs}: {text}", file=sys.stderr, flush=True)
    return history


def _in_notebook() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and "IPKernelApp" in shell.config


def _mix(seed: int, epoch: int) -> int:
    return (seed * 1_000_003 + epoch * 7919 + 1) % 2**31


def _by_term(optimizers: Optimizers) -> dict[str, list[Any]]:
    if isinstance(optimizers, Optimizer):
        return {"loss": [optimizers]}
    return {k: [o] if isinstance(o, Optimizer) else list(o) for k, o in optimizers.items()}


def _descend(
    fabric: Fabric, step: Any, terms: Terms, by_term: dict[str, list[Any]], clip: float | None
) -> None:
    """Give each optimizer's parameters the gradient of its own term, then let all of them step."""
    for k, (term, group) in enumerate(by_term.items()):
        if term not in terms:
            raise ValueError(f"an optimizer waits for the term {term!r}, the objective has {list(terms)}")
        mine = [p for o in group for g in o.param_groups for p in g["params"] if p.requires_grad]
        for p in mine:
            p.grad = None
        more: dict[str, Any] = (
            {} if len(by_term) == 1 else {"inputs": mine, "retain_graph": k < len(by_term) - 1}
        )
        fabric.backward(terms[term].mean(), **more)
    for group in by_term.values():
        for optimizer in group:
            if clip is not None:
                fabric.clip_gradients(step, optimizer, max_norm=clip, error_if_nonfinite=False)
            optimizer.step()


class _Log:
    """Terms of every step of an epoch, kept on the device and fetched once, at its end."""

    def __init__(self, steps: int, epoch: int | None, device: torch.device) -> None:
        self.steps, self.epoch, self.device = steps, epoch, device
        self.names: list[str] = []
        self.sums = torch.empty(0)
        self.count = 0

    def add(self, i: int, terms: Terms, n: int) -> None:
        if not self.names:
            for name, term in terms.items():
                if term.shape != (n,):
                    raise ValueError(
                        f"an objective's terms are one number per example, ({n},); {name!r} is "
                        f"{tuple(term.shape)}. Sum over each example and leave the mean to `train`"
                    )
            self.names = list(terms)
            self.sums = torch.zeros(self.steps, len(terms), device=self.device)
        self.sums[i] = torch.stack([t.detach().sum() for t in terms.values()])
        self.count += n
        if self.device.type == "cpu":  # costs nothing there; elsewhere it would wait for the device
            self.check(self.sums[i : i + 1], i)

    def check(self, sums: Tensor, first: int) -> None:
        bad = (~sums.isfinite()).nonzero()
        if len(bad):
            step, term = first + int(bad[0, 0]), self.names[int(bad[0, 1])]
            where = "in validation" if self.epoch is None else f"in epoch {self.epoch + 1}, step {step + 1}"
            raise DivergedError(
                f"the term {term!r} became {sums[bad[0, 0], bad[0, 1]].item()} {where} of {self.steps}. "
                "Look for NaN in the data, then try a learning rate ten times smaller, or clip=1.0"
            )

    def means(self) -> Record:
        sums = self.sums.double().cpu()
        self.check(sums, 0)
        return dict(zip(self.names, (sums.sum(0) / self.count).tolist(), strict=True))
