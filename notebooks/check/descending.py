"""The step that every loop takes, and what learners forget of it."""

from collections.abc import Callable

from torch import Tensor
from torch.optim import Optimizer


def descend(loss: Tensor, optimizer: Optimizer, zero: bool = True, step: bool = True) -> None:
    """One step down, or one that forgets a part."""
    if zero:
        optimizer.zero_grad()
    loss.backward()
    if step:
        optimizer.step()


def forgetful(make: Callable) -> dict[str, Callable]:
    """Hint → what `make` makes when a part of the step is forgotten."""
    return {
        "gradients of all steps add up: call optimizer.zero_grad() in each step": make(zero=False),
        "nothing is learnt: after loss.backward() comes optimizer.step()": make(step=False),
    }
