"""An epoch of `train`: clocks around its phases, its products alone, its steps as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from benchmarks.machine import now  # isort: skip  # before torch: it sets OpenMP's variable
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from aelib import losses, training
from aelib.contexts import seeded
from aelib.datasets import Batch, Batches, Images
from aelib.losses import Objective
from aelib.models import Autoencoder

FOREVER = 10**6  # epochs
PHASES = ("data", "forward", "backward", "optimizer")


class Case(NamedTuple):
    """A training. An epoch on a CPU takes the first so many images, for about a second."""

    title: str
    model: Callable[[], Autoencoder]
    data: Callable[[], Images]
    objective: Objective
    batch: int
    images: int


class Clock:
    """Seconds in phases. On a CPU all is done when a call returns; on CUDA the stream's own events tell.

    There a phase is what the device needs for it, with the waiting for the launches of its kernels.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.spans: list[tuple[str, Any, Any]] = []

    def mark(self) -> Any:
        if self.device != "cuda":
            return now(self.device)
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        begin = self.mark()
        yield
        self.spans.append((name, begin, self.mark()))

    def read(self) -> dict[str, float]:
        """Seconds of each phase since the last reading."""
        now(self.device)
        totals = dict.fromkeys(PHASES, 0.0)
        for name, begin, end in self.spans:
            totals[name] += begin.elapsed_time(end) / 1000 if self.device == "cuda" else end - begin
        self.spans.clear()
        return totals


class Timed:
    """Images whose drawing is on the clock."""

    def __init__(self, data: Images, clock: Clock) -> None:
        self.data, self.clock = data, clock

    def __len__(self) -> int:
        return len(self.data)

    def batches(self, *args: Any) -> Batches:
        batches = self.data.batches(*args)

        def timed() -> Iterator[Batch]:
            while True:
                with self.clock.phase("data"):
                    batch = next(batches, None)
                if batch is None:
                    return
                yield batch

        return Batches(timed(), len(batches), len(self))


class Floats:
    """The same images, converted to float32 once, before the training."""

    def __init__(self, data: Images, device: str) -> None:
        self.x = torch.from_numpy(data.pixels).to(device).float().div_(255)

    def __len__(self) -> int:
        return len(self.x)

    def batches(self, size: int, seed: int, device: torch.device, part: tuple[int, int]) -> Batches:
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed)).to(device)
        pieces = order.tensor_split(-(-len(self) // size))
        return Batches((Batch(self.x[rows]) for rows in pieces), len(pieces), len(self))


class Watched(Fabric):
    """Fabric, whose backward pass is on the clock."""

    def __init__(self, clock: Clock, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.clock = clock

    def backward(self, *args: Any, **keywords: Any) -> None:
        with self.clock.phase("backward"):
            super().backward(*args, **keywords)


def epochs(
    case: Case,
    data: Any,
    device: str,
    *,
    model: Callable[[], Autoencoder] | None = None,
    adam: Callable[..., torch.optim.Optimizer] = training.adam,
    batch: int | None = None,
    precision: Any = "32-true",
) -> Iterator[float]:
    """Train without end; each epoch's seconds."""
    with seeded(0):
        trained = (model or case.model)()
    for record in training.train(
        trained, data, case.objective, adam(trained), epochs=FOREVER, batch_size=batch or case.batch,
        device=device, precision=precision,
    ):  # fmt: skip
        yield record["seconds"]


def phases(case: Case, data: Images, device: str) -> Iterator[dict[str, float]]:
    """Train with clocks around the phases; each epoch's seconds in them, and in the rest as "overhead"."""
    clock = Clock(device)
    with seeded(0):
        model = case.model()
    optimizer = training.adam(model)
    span: list[Any] = []
    optimizer.register_step_pre_hook(lambda *_: span.append(clock.mark()))
    optimizer.register_step_post_hook(
        lambda *_: clock.spans.append(("optimizer", span.pop(), clock.mark())),
    )

    def objective(model: nn.Module, batch: Batch) -> losses.Terms:
        with clock.phase("forward"):
            return case.objective(model, batch)

    fabric = Watched(clock, accelerator=device, devices=1)
    timed: Any = Timed(data, clock)
    for record in training.train(
        model, timed, objective, optimizer, epochs=FOREVER, batch_size=case.batch, fabric=fabric
    ):
        spent = clock.read()
        yield spent | {"overhead": record["seconds"] - sum(spent.values())}


def products(case: Case, batch: Batch) -> list[Callable[[], object]]:
    """A step's products alone: each layer forward, its weight's gradient and, where needed, its input's."""
    model = case.model().to(batch.x.device)
    layers: list[tuple[Any, Tensor, Tensor, bool]] = []

    def note(layer: nn.Module, given: tuple[Tensor], made: Tensor) -> None:
        x, g = torch.randn_like(given[0]), torch.randn_like(made)
        layers.append((layer, x, g, given[0].requires_grad))

    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(note)
    case.objective(model, batch)

    def linear(weight: Tensor, x: Tensor, g: Tensor, further: bool) -> None:
        _ = x @ weight.T, g.T @ x, g @ weight if further else None

    def convolution(layer: Any, x: Tensor, g: Tensor, further: bool) -> None:
        how = layer.stride, layer.padding, layer.dilation, layer.transposed, layer.output_padding, 1
        torch.convolution(x, layer.weight, None, *how)
        torch.ops.aten.convolution_backward(g, x, layer.weight, None, *how, (further, True, False))

    return [
        partial(linear, layer.weight, *given)
        if isinstance(layer, nn.Linear)
        else partial(convolution, layer, *given)
        for layer, *given in layers
    ]


def floor(case: Case, data: Images, device: str) -> Iterator[float]:
    """Seconds of an epoch of products alone, again and again."""
    steps = -(-len(data) // case.batch)
    alone = products(case, data[: case.batch].batch(device))
    while True:
        start = now(device)
        with torch.no_grad():
            for _ in range(steps):
                for product in alone:
                    product()
        yield now(device) - start


def captured(case: Case, data: Images, device: str) -> Iterator[float]:
    """Seconds of an epoch of one CUDA graph, a whole step on one batch: what is left without launches."""
    model, batch = case.model().to(device), data[: case.batch].batch(device)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0, fused=True, capturable=True)

    def step() -> None:
        optimizer.zero_grad()
        case.objective(model, batch)["loss"].mean().backward()
        optimizer.step()

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):  # a capture must not be the first step
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    while True:
        start = now(device)
        for _ in range(-(-len(data) // case.batch)):
            graph.replay()
        yield now(device) - start
