"""Networks to ONNX and TorchScript, checked against the model before they get their names."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..datasets import Images
from ..models import Autoencoder
from ..runs.checkpoint import write_file
from .opening import unused

TOLERANCE, PICTURES = 1e-4, 256  # of max(1, |number|); test pictures that are compared, at most
SUFFIXES = {"onnx": ".onnx", "torchscript": ".pt"}


class Mean(nn.Module):
    """A part of an autoencoder as tensor → tensor: the mean of the distribution that it returns."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, h: Tensor) -> Tensor:
        """Pictures → mean codes, or codes → mean pictures."""
        return self.part(h).mean


@torch.no_grad()
def exported(model: Autoencoder, test: Images, kind: str, out: str, run: str) -> dict[Path, float]:
    """Write both parts of a model on the CPU: file → the largest difference, as a share of max(1, |number|).

    Raises:
        ImportError: a package for ONNX is missing.
        RuntimeError: the files do not compute what the model does; none is left.
    """
    x = test[:PICTURES].batch().x
    z = model.encode(x).mean
    inputs = {"encoder": x, "decoder": z}
    paths = {name: unused(Path(out, name + SUFFIXES[kind]), run) for name in inputs}
    done: dict[str, bytes] = {}
    worst: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, seen in inputs.items():
            part, file = Mean(getattr(model, name)).eval(), Path(scratch, name)
            some = torch.rand if name == "encoder" else torch.randn
            try:
                ask = (to_onnx if kind == "onnx" else to_torchscript)(part, seen[:2], file)
                each = (seen, some(1, *seen.shape[1:]), some(3, *seen.shape[1:]))
                worst[name] = max(apart(part(h), ask(h)) for h in each)
            except ImportError:
                raise
            except Exception as e:
                raise RuntimeError(
                    f"the {name} cannot be exported as {kind}, so nothing was written: {e}"
                ) from e
            if worst[name] > TOLERANCE:
                raise RuntimeError(
                    f"the exported {name} differs from the model by {worst[name]:.1e}, more than "
                    f"{TOLERANCE:.0e}, so nothing was written. Try another format"
                )
            done[name] = file.read_bytes()
    Path(out).mkdir(parents=True, exist_ok=True)
    for name, path in paths.items():
        write_file(path, done[name])
    return {path: worst[name] for name, path in paths.items()}


def apart(mine: Tensor, theirs: Tensor) -> float:
    """The largest difference, as a share of max(1, |number|); infinite where the shapes differ."""
    if mine.shape != theirs.shape:
        return float("inf")
    return ((mine - theirs).abs() / mine.abs().clamp_min(1)).nan_to_num(torch.inf).max().item()


def to_onnx(part: nn.Module, example: Tensor, file: Path) -> Callable[[Tensor], Tensor]:
    """Write ONNX; returns what ONNX Runtime computes with the file."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else its maker is sent what was done, and by whom
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  (torch needs it)
    except ImportError as e:
        raise ImportError(f'{e.name} is missing: pip install "aelib[export]"') from e
    with quiet():
        torch.onnx.export(part, (example,), str(file), dynamo=True, external_data=False, verbose=False,
                          input_names=["input"], output_names=["mean"],
                          dynamic_shapes=({0: torch.export.Dim("batch")},))  # fmt: skip
    session: Any = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return lambda h: torch.from_numpy(session.run(None, {"input": h.numpy()})[0])


def to_torchscript(part: nn.Module, example: Tensor, file: Path) -> Callable[[Tensor], Tensor]:
    """Write TorchScript; returns what the file computes."""
    with quiet():
        torch.jit.trace(part, example, check_trace=False).save(str(file))
        return torch.jit.load(str(file))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Exporters tell their own developers much, and warn that TorchScript is deprecated: the help says so."""
    before = logging.root.manager.disable
    try:
        logging.disable(logging.WARNING)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
