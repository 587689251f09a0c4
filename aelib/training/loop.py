"""Training: a generator whose caller's loop body is the callback."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..contexts import evaluating, seeded
from ..datasets import Batches, Data
from ..losses import Objective
from .history import History, Log, Record, Unfinished, rows
from .optim import Optimizers
from .step import Step, alone, weighted

if TYPE_CHECKING:
    from lightning_fabric import Fabric

VALID_SEED = 2**31 - 1  # validation has the same noise every epoch, so its curve shows the model only


def train(
    model: nn.Module, data: Data, objective: Objective, optimizers: Optimizers | None = None, *, epochs: int,
    batch_size: int = 128, valid: Data | None = None,
    schedule: Mapping[str, Callable[[float], float]] | None = None, history: History | None = None,
    seed: int = 0, clip: float | None = None, device: str = "auto", precision: Any = "32-true",
    fabric: "Fabric | None" = None, tick: Callable[[int, int], bool | None] | None = None,
) -> Iterator[Record]:  # fmt: skip
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
        valid: images whose terms are recorded too, as "valid/…", with the objective's default keywords, if
            there are any.
        schedule: keyword → function of the progress in [0, 1]: its value is given to the objective, in
            training only. The keyword "lr" is not given to it: it multiplies the learning rates.
        history: where records are appended; what it holds already is not trained again, neither its
            epochs nor the steps of its unfinished one.
        clip: the largest norm of each optimizer's gradient.
        device: "auto" (CUDA, MPS, CPU in this order), "cuda", "mps", "cpu".
        precision: "32-true", or "bf16-mixed", or another of Lightning Fabric's.
        fabric: a Lightning Fabric of your own, in place of device and precision. With several devices
            each sees its own part of every batch, and the gradient is that of the whole batch.
        tick: called after every step with the steps done and the steps there are. If it returns True the
            training ends there, with what it needs to go on in `history.unfinished`.

    DivergedError if a term became NaN or infinite; names epoch, step and term; ValueError for no images, an
    optimizer of another model, or one for a term that the objective lacks.
    """
    check(data, epochs=epochs, batch_size=batch_size)
    history = History() if history is None else history
    fabric = fabric or alone(device, precision)
    step = Step(model, objective, optimizers, fabric, schedule, clip)
    for epoch in range(len(history), epochs):
        start = time.perf_counter()
        with seeded(_mix(seed, epoch) + fabric.global_rank, fabric.device), ExitStack() as stack:
            stack.callback(model.eval)  # however the epoch ends
            model.train()
            batches = _batches(data, batch_size, fabric, _mix(seed, epoch))
            steps = len(batches)
            log = Log(steps, epoch, fabric)
            begun, history.unfinished = history.unfinished, None
            if begun is not None:
                start -= begun.seconds
                _go_on(begun, batches, log)
            for i, batch in enumerate(batches, begun.step if begun else 0):
                terms = step.terms(batch, progress=(epoch + i / steps) / epochs)
                log.add(i, terms, len(batch))
                step.descend(terms, len(batch), batches.size(i))
                if tick and tick(epoch * steps + i + 1, epochs * steps):
                    history.unfinished = _pause(log, i + 1, time.perf_counter() - start)
                    return
            record = {f"train/{k}": v for k, v in log.means().items()}
        if valid is not None and len(valid):
            record |= {f"valid/{k}": v for k, v in assess(model, valid, objective, fabric=fabric).items()}
        record = {"epoch": epoch + 1, **record, "seconds": time.perf_counter() - start}
        history.append(record)
        fabric.log_dict(record, step=epoch + 1)
        yield record


def check(data: Any, **numbers: int) -> None:
    """Raise TypeError if these are no examples, ValueError if there are none, or if a number is below 1."""
    if not hasattr(data, "batches"):
        hint = ": give it one part, as split.train" if hasattr(data, "train") else ""
        raise TypeError(f"train takes images, not {type(data).__name__}{hint}")
    if len(data) == 0:
        raise ValueError("there are no images to train on")
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} is at least 1; got {number}")


@torch.no_grad()
def assess(
    model: nn.Module, data: Data, objective: Objective, *, batch_size: int = 512, device: str = "auto",
    fabric: "Fabric | None" = None,
) -> Record:  # fmt: skip
    """The objective's terms on these examples, averaged, without training: same noise at every call.

    ValueError if there are no examples.
    """
    if len(data) == 0:
        raise ValueError("there are no images to judge the model on")
    fabric = fabric or alone(device)
    model.to(fabric.device)
    with evaluating(model), seeded(VALID_SEED + fabric.global_rank, fabric.device):
        batches = _batches(data, batch_size, fabric)
        log = Log(len(batches), None, fabric)
        for i, batch in enumerate(batches):
            log.add(i, weighted(objective(model, batch), batch), len(batch))
        return log.means()


def _mix(seed: int, epoch: int) -> int:
    return (seed * 1_000_003 + epoch * 7919 + 1) % 2**31


def _batches(data: Data, size: int, fabric: "Fabric", seed: int | None = None) -> Batches:
    """The batches of one pass, or of each of them this device's part, if there are several."""
    batches = data.batches(size, seed, fabric.device, (fabric.global_rank, fabric.world_size))
    if not isinstance(batches, Batches):
        raise TypeError(f"{type(data).__name__}.batches returns a {type(batches).__name__}; a set that is "
                        "trained on returns datasets.Batches(generator, steps, examples)")  # fmt: skip
    least = min(batches.size(0), batches.size(len(batches) - 1))
    if least < fabric.world_size:
        raise ValueError(f"a batch has {least} examples, fewer than the {fabric.world_size} devices that "
                         "share it: make batch_size larger or use fewer devices")  # fmt: skip
    return batches


def _pause(log: Log, step: int, seconds: float) -> Unfinished:
    """What the epoch needs to go on from here, gathered from all devices."""
    random = torch.get_rng_state()
    if log.device.type == "cuda":
        random = torch.cat([random, torch.cuda.get_rng_state(log.device)])
    each = (rows(log.fabric, t) for t in (log.sums, torch.tensor(log.count), random))
    return Unfinished(step, seconds, log.names, *each)


def _go_on(begun: Unfinished, batches: Batches, log: Log) -> None:
    """Pass over the batches that are done, and set sums and random state to what they were."""
    rank, devices = log.fabric.global_rank, log.fabric.world_size
    if len(begun.random) != devices:
        raise ValueError(f"an epoch begun on {len(begun.random)} devices cannot be ended on {devices}")
    for _ in range(begun.step):
        next(batches)
    log.names, log.count = begun.names, int(begun.count[rank])
    log.sums = begun.sums[rank].to(log.device)
    cpu = len(torch.get_rng_state())
    torch.set_rng_state(begun.random[rank, :cpu].clone())  # of a view torch reads the storage
    if log.device.type == "cuda":
        torch.cuda.set_rng_state(begun.random[rank, cpu:].clone(), log.device)
