"""Networks to ONNX and TorchScript, checked against the model before they get their names."""

import copy
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
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

    What the files compute is compared with the model on the CPU, on these examples and on random numbers.

    Args:
        folder: made if it is not there; files of these names are replaced.
        examples: (N, …) that the model takes, such as `split.test`; 256 of them are compared.

    Returns file → the largest difference, as a share of max(1, |number|): `TOLERANCE` at most.

    ImportError for lack of a package for ONNX, ValueError if the model takes conditions or another shape,
    RuntimeError if the files do not compute what it does, or it cannot be exported; then none is written.
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
    if not isinstance(examples, Tensor):
        check(model, examples)
        examples = examples[:PICTURES].batch().x
    x = examples[:PICTURES].cpu()
    z = model.encode(x).mean
    made: dict[str, tuple[bytes, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, h in (("encoder", x), ("decoder", z)):
            part, file = Mean(getattr(model, name)).eval(), Path(scratch, name)
            some = torch.rand if name == "encoder" else torch.randn
            try:
                ask = to(part, h[:2], file)
                each = (h, some(1, *h.shape[1:]), some(3, *h.shape[1:]))
                worst = max(apart(part(i), ask(i)) for i in each)
            except ImportError:
                raise
            except Exception as e:
                raise RuntimeError(f"the {name} cannot be exported as {kind}, nothing is written: {e}") from e
            if worst > TOLERANCE:
                raise RuntimeError(f"the exported {name} differs from the model by {worst:.1e}, more than "
                                   f"{TOLERANCE:.0e}; nothing was written. Try another format")  # fmt: skip
            made[name + SUFFIXES[kind]] = file.read_bytes(), worst
    for name, (data, _) in made.items():
        write_file(Path(folder, name), data)
    return {Path(folder, name): worst for name, (_, worst) in made.items()}


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


@contextmanager
def quiet() -> Iterator[None]:
    """Without the exporters' notes for their own developers, and the warning of TorchScript's age."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), ExitStack() as stack:
        stack.callback(logging.disable, logging.root.manager.disable)
        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
        yield
