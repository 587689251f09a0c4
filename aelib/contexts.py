"""Where and in which state a piece of code runs: a device by name, evaluation mode, a seed of its own."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode, and afterwards, also after an error, in the mode it was in."""
    was = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was)


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Inside, torch's randomness comes from this seed alone; afterwards the caller's is as it was."""
    with torch.random.fork_rng([device] if device is not None and device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def device_named(name: str = "auto") -> torch.device:
    """ "auto" is CUDA, else MPS, else the CPU, as in `train`; any other is torch's name of a device here."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as e:
        raise ValueError(f"no device {name!r} ({str(e).splitlines()[0]}). Try auto, cpu, cuda or mps") from e
