"""Networks to ONNX and TorchScript, checked against the model before they get their names."""

from __future__ import annotations

import contextlib
import copy
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

from .datasets import Examples
from .evaluation import check
from .files import write_file
from .models import Autoencoder

TOLERANCE, PICTURES = 1e-4, 256  # of max(1, |number|); examples that are compared, at most
SUFFIXES = {"onnx": ".onnx", "torchscript": ".pt"}


class Mean(nn.Module):
    """A part of an autoencoder as tensor → tensor: the mean of the distribution that it returns."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, h: Tensor) -> Tensor:
        """Examples → mean codes, or codes → mean examples."""
        return self.part(h).mean


def onnx(model: Autoencoder, folder: str | Path, examples: Examples | Tensor) -> dict[Path, float]:
    """Write encoder.onnx (examples → mean codes) and decoder.onnx (codes → mean examples) for any batch size.

    What the files compute is compared with the model on the CPU, on these examples and on random numbers, and
    may differ by 0.0001 of the larger of 1 and the number itself.

    Args:
        folder: made if it is not there; files of these names are replaced.
        examples: (N, …) that the model takes, such as `split.test`; 256 of them are compared.

    Returns:
        File → the largest difference, as a share of max(1, |number|).

    Raises:
        ImportError: a package for ONNX is missing.
        ValueError: the model takes conditions, or examples of another shape.
        RuntimeError: the files do not compute what the model does, or it cannot be exported; none is written.
    """
    return _written(model, folder, examples, "onnx", to_onnx)


def torchscript(model: Autoencoder, folder: str | Path, examples: Examples | Tensor) -> dict[Path, float]:
    """Write encoder.pt and decoder.pt for libtorch, as `onnx` does. PyTorch calls TorchScript deprecated."""
    return _written(model, folder, examples, "torchscript", to_torchscript)


@torch.no_grad()
def _written(
    model: Autoencoder, folder: str | Path, examples: Examples | Tensor, kind: str, to: Callable[..., Any]
) -> dict[Path, float]:
    check(model)
    model = copy.deepcopy(model).cpu().eval()  # the caller's stays where it is
    if isinstance(examples, Tensor):
        x = examples[:PICTURES].cpu()
    else:
        check(model, examples)
        x = examples[:PICTURES].batch().x
    z = model.encode(x).mean
    done: dict[str, bytes] = {}
    worst: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, h in (("encoder", x), ("decoder", z)):
            part, file = Mean(getattr(model, name)).eval(), Path(scratch, name)
            some = torch.rand if name == "encoder" else torch.randn
            try:
                ask = to(part, h[:2], file)
                each = (h, some(1, *h.shape[1:]), some(3, *h.shape[1:]))
                worst[name] = max(apart(part(i), ask(i)) for i in each)
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
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = {name: Path(folder, name + SUFFIXES[kind]) for name in done}
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
    """Without the exporters' notes for their own developers, and the warning of TorchScript's age."""
    before = logging.root.manager.disable
    try:
        logging.disable(logging.WARNING)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
