"""One step of a training: the gradient of each term for the parameters that it moves, and their move."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import Precision
from lightning_fabric.strategies import SingleDeviceStrategy
from torch import nn

from ..datasets import Batch
from ..losses import Objective, Terms
from .optim import Optimizers, adam, by_term

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision every time
if not torch.cuda.is_available():  # Fabric has torch look for a driver again at each step of an optimizer
    os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)


class _Objective(nn.Module):
    """The objective as a module's forward, which is what Fabric wraps (for precision, for many devices)."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: Callable[[], Batch], **keywords: float) -> Terms:
        # a batch would be rounded to bf16 on its way in, targets and all; a function passes untouched
        return self.objective(self.model, batch(), **keywords)


class Step:
    """A step in two halves: `terms` of a batch, then `descend`.

    Args:
        model, objective: as in `train`; the model is moved to Fabric's device.
        optimizers: one for the term "loss" (`adam(model)` where it is None), or a dict term → optimizer(s).
        fabric: device, precision, distribution.
        schedule: keyword → function of the progress in [0, 1]; "lr" multiplies the learning rates, the
            others are given to the objective.
        clip: the largest norm of each optimizer's gradient.

    Raises:
        ValueError: the optimizers hold no parameter of this model.
    """

    def __init__(
        self, model: nn.Module, objective: Objective, optimizers: Optimizers | None, fabric: Fabric,
        schedule: Mapping[str, Callable[[float], float]] | None = None, clip: float | None = None,
    ) -> None:  # fmt: skip
        if clip is not None and not clip > 0:
            raise ValueError(f"clip is the largest norm of a gradient, above 0; got {clip}. None: no limit")
        self.fabric, self.clip = fabric, clip
        self.schedule = dict(schedule or {})
        self.lr = self.schedule.pop("lr", None)
        fabric.to_device(model)
        groups = by_term(adam(model) if optimizers is None else optimizers)
        held = {id(p) for group in groups.values() for o in group for p in _parameters(o)}
        if not any(id(p) in held for p in model.parameters()):
            raise ValueError("the optimizer holds no parameter of this model: was it made for another one?")
        for optimizer in (o for group in groups.values() for o in group if fabric.device.type != "cpu"):
            optimizer.load_state_dict(optimizer.state_dict())  # a state from a file follows its parameters
        inner = _Objective(model, objective)
        wrapped = fabric.setup(inner, *(o for group in groups.values() for o in group))
        self.module, ready = wrapped[0], iter(wrapped[1:])
        # on one device and in float32 Fabric's wrapper changes nothing, but hangs hooks on every output
        plain = type(fabric.strategy) is SingleDeviceStrategy and type(fabric.strategy.precision) is Precision
        self.forward = inner if plain else self.module
        self.groups = {term: [next(ready) for _ in group] for term, group in groups.items()}
        self.moved = {term: [p for o in group for p in _parameters(o)] for term, group in groups.items()}
        self.optimizers = [o for group in self.groups.values() for o in group]
        self.bases = [[g.setdefault("initial_lr", g["lr"]) for g in o.param_groups] for o in self.optimizers]

    def terms(self, batch: Batch, progress: float) -> Terms:
        """The objective's terms, (B,) each, with learning rates and keywords as the schedule has them now.

        Args:
            progress: of the training, in [0, 1).
        """
        if self.lr is not None:
            for optimizer, lrs in zip(self.optimizers, self.bases, strict=True):
                for group, lr in zip(optimizer.param_groups, lrs, strict=True):
                    group["lr"] = lr * self.lr(progress)
        now = {name: f(progress) for name, f in self.schedule.items()}
        with self.fabric.no_backward_sync(self.module, enabled=len(self.groups) > 1):
            return weighted(self.forward(lambda: batch, **now), batch)

    def descend(self, terms: Terms, mine: int, whole: int) -> None:
        """Give the parameters that each term moves its gradient, the mean over the batch; then move them.

        Args:
            mine: examples that this device has seen.
            whole: examples in the batch, on all devices.
        """
        devices = self.fabric.world_size
        with self.fabric.no_backward_sync(self.module, enabled=len(self.groups) > 1):
            for k, (term, parameters) in enumerate(self.moved.items()):
                if term not in terms:
                    raise ValueError(
                        f"an optimizer waits for the term {term!r}, the objective has {list(terms)}"
                    )
                for p in parameters:
                    p.grad = None
                more: dict[str, Any] = {}
                if len(self.moved) > 1:
                    more = {"inputs": parameters, "retain_graph": k < len(self.moved) - 1}
                loss = terms[term].mean()
                if devices > 1:  # the strategy averages over devices, whose parts may differ by one example
                    loss = loss * (mine * devices / whole)
                self.fabric.backward(loss, **more)
                if len(self.moved) > 1 and devices > 1:  # the strategy does it for one backward pass only
                    for p in (p for p in parameters if p.grad is not None):
                        p.grad = self.fabric.all_reduce(p.grad, reduce_op="mean")
        for optimizer in self.optimizers:
            if self.clip is not None:
                self.fabric.clip_gradients(
                    self.module, optimizer, max_norm=self.clip, error_if_nonfinite=False
                )
            optimizer.step()


def weighted(terms: Terms, batch: Batch) -> Terms:
    """Each example's terms times its weight, if the batch has weights."""
    return terms if batch.weight is None else {k: v * batch.weight for k, v in terms.items()}


def _parameters(optimizer: Any) -> list[Any]:
    return [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
