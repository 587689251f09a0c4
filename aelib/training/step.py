"""One step of a training: the gradient of each term for the parameters that it moves, and their move."""

import logging
import math
import os
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..datasets import Batch
from ..heads import Bernoulli
from ..losses import Objective, Terms
from ..models import Autoencoder
from .optim import Optimizers, adam, by_term

if TYPE_CHECKING:
    from lightning_fabric import Fabric

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision every time


def alone(device: str = "auto", precision: Any = "32-true") -> "Fabric":
    """A Fabric of one device. It is imported here: that takes longer than torch itself."""
    from lightning_fabric import Fabric

    return Fabric(accelerator=device, devices=1, precision=precision)


class _Objective(nn.Module):
    """The objective as a module's forward, which is what Fabric wraps (for precision, for many devices)."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: Callable[[], Batch], **keywords: float) -> Terms:
        # a batch would be rounded to bf16 on its way in, targets and all; a function passes untouched
        return self.objective(self.model, batch(), **keywords)


class Step:
    """A step in two halves: `terms` of a batch, then `descend`. Arguments are those of `train`.

    ValueError if the optimizers hold no parameter of this model; a learning rate below 0, or not finite.
    """

    def __init__(
        self, model: nn.Module, objective: Objective, optimizers: Optimizers | None, fabric: "Fabric",
        schedule: Mapping[str, Callable[[float], float]] | None = None, clip: float | None = None,
    ) -> None:  # fmt: skip
        from lightning_fabric.plugins import Precision
        from lightning_fabric.strategies import SingleDeviceStrategy

        if not torch.cuda.is_available():  # Fabric has torch look for a driver again at each optimizer's step
            os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
        if clip is not None and not clip > 0:
            raise ValueError(f"clip is the largest norm of a gradient, above 0; got {clip}. None: no limit")
        self.fabric, self.clip = fabric, clip
        self.schedule = dict(schedule or {})
        self.lr = self.schedule.pop("lr", None)
        fabric.to_device(model)
        groups = by_term(adam(model) if optimizers is None else optimizers)
        self.moved = {
            term: [p for o in group for g in o.param_groups for p in g["params"] if p.requires_grad]
            for term, group in groups.items()
        }
        held = {id(p) for parameters in self.moved.values() for p in parameters}
        if not any(id(p) in held for p in model.parameters()):
            raise ValueError("the optimizer holds no parameter of this model: was it made for another one?")
        every = [o for group in groups.values() for o in group]
        if fabric.device.type != "cpu":
            for optimizer in every:
                optimizer.load_state_dict(optimizer.state_dict())  # a file's state follows its parameters
        inner = _Objective(model, objective)
        self.module, *self.optimizers = fabric.setup(inner, *every)
        # on one device and in float32 Fabric's wrapper changes nothing, but hangs hooks on every output
        plain = type(fabric.strategy) is SingleDeviceStrategy and type(fabric.strategy.precision) is Precision
        self.forward = inner if plain else self.module
        self.several = len(self.moved) > 1
        decoder = model.decoder.modules() if isinstance(model, Autoencoder) else ()
        self.looks = fabric.device.type == "cpu" and any(isinstance(m, Bernoulli) for m in decoder)
        self.bases = [[g.setdefault("initial_lr", g["lr"]) for g in o.param_groups] for o in self.optimizers]

    def terms(self, batch: Batch, progress: float) -> Terms:
        """The objective's terms, (B,) each, as the schedule has it at this progress in [0, 1)."""
        if self.looks and batch.target.min() < 0:  # on a CPU; elsewhere each look waits for the device
            self.looks = False
            warnings.warn('targets below 0 mean nothing to likelihood="bernoulli": scale them to [0, 1], or '
                          'take "gaussian-learnt"', stacklevel=3)  # fmt: skip
        if self.lr is not None:
            factor = self.lr(progress)
            if not 0 <= factor < math.inf:
                raise ValueError(f"a schedule of lr is a number from 0 up; at {progress:.0%} it is {factor}")
            for optimizer, lrs in zip(self.optimizers, self.bases, strict=True):
                for group, lr in zip(optimizer.param_groups, lrs, strict=True):
                    group["lr"] = lr * factor
        now = {name: f(progress) for name, f in self.schedule.items()}
        with self.fabric.no_backward_sync(self.module, enabled=self.several):
            return weighted(self.forward(lambda: batch, **now), batch)

    def descend(self, terms: Terms, mine: int, whole: int) -> None:
        """Give the parameters that each term moves its gradient, the mean over the batch; then move them.

        Args:
            mine, whole: examples in the batch, on this device and on all of them.
        """
        devices = self.fabric.world_size
        with self.fabric.no_backward_sync(self.module, enabled=self.several):
            for k, (term, parameters) in enumerate(self.moved.items()):
                if term not in terms:
                    raise ValueError(f"an optimizer waits for term {term!r}, the objective has {list(terms)}")
                for p in parameters:
                    p.grad = None
                last = k == len(self.moved) - 1
                alone: dict[str, Any] = {"inputs": parameters, "retain_graph": not last}
                loss = terms[term].mean()
                if devices > 1:  # the strategy averages over devices, whose parts may differ by one example
                    loss = loss * (mine * devices / whole)
                self.fabric.backward(loss, **(alone if self.several else {}))
                if self.several and devices > 1:  # the strategy does it for one backward pass only
                    for p in (p for p in parameters if p.grad is not None):
                        p.grad = self.fabric.all_reduce(p.grad, reduce_op="mean")
        for optimizer in self.optimizers:
            if self.clip is not None:
                limit: dict[str, Any] = {"max_norm": self.clip, "error_if_nonfinite": False}
                self.fabric.clip_gradients(self.module, optimizer, **limit)
            optimizer.step()


def weighted(terms: Terms, batch: Batch) -> Terms:
    """Each example's terms times its weight, if the batch has weights."""
    return terms if batch.weight is None else {k: v * batch.weight for k, v in terms.items()}
