"""Networks to ONNX, checked against the model before they get their names."""

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
PARTS = ("encoder.onnx", "decoder.onnx")


class Mean(nn.Module):
    """A part of an autoencoder as tensor → tensor: the mean of the distribution that it returns."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, h: Tensor) -> Tensor:
        """Examples → mean codes, or codes → mean examples."""
        return self.part(h).mean


@torch.no_grad()
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
    check(model)
    model = copy.deepcopy(model).cpu().eval()  # the caller's stays where it is
    if not isinstance(examples, Tensor):
        check(model, examples)
        examples = examples[:PICTURES].batch().x
    x = examples[:PICTURES].cpu()
    z, made = model.encode(x).mean, dict[str, tuple[bytes, float]]()
    for name, part, h, some in (
        ("encoder", model.encoder, x, torch.rand), ("decoder", model.decoder, z, torch.randn),
    ):  # fmt: skip
        try:
            file, ask = to_onnx(part, h[:2])
            each = (h, some(1, *h.shape[1:]), some(3, *h.shape[1:]))
            worst = max(apart(part(i).mean, ask(i)) for i in each)
        except ImportError:
            raise
        except Exception as e:
            raise RuntimeError(f"the {name} cannot be exported as ONNX, nothing is written: {e}") from e
        if worst > TOLERANCE:
            raise RuntimeError(f"the exported {name} differs from the model by {worst:.1e}, more than "
                               f"{TOLERANCE:.0e}; nothing was written")  # fmt: skip
        made[f"{name}.onnx"] = file, worst
    for name, (file, _) in made.items():
        write_file(Path(folder, name), file)
    return {Path(folder, name): worst for name, (_, worst) in made.items()}


def apart(mine: Tensor, theirs: Tensor) -> float:
    """The largest difference, as a share of max(1, |number|); infinite where the shapes differ."""
    if mine.shape != theirs.shape:
        return float("inf")
    return ((mine - theirs).abs() / mine.abs().clamp_min(1)).nan_to_num(torch.inf).max().item()


def to_onnx(part: nn.Module, example: Tensor) -> tuple[bytes, Callable[[Tensor], Tensor]]:
    """A part of a model, as its distribution's mean, in ONNX; and what ONNX Runtime computes with that."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else its maker is sent what was done, and by whom
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  (torch needs it)
        from onnx import load_from_string
    except ImportError as e:
        raise ImportError(f'{e.name} is missing: pip install "aelib[export]"') from e
    with quiet(), tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "part.onnx")
        torch.onnx.export(Mean(part).eval(), (example,), str(file), dynamo=True, external_data=False,
                          verbose=False, input_names=["input"], output_names=["mean"],
                          dynamic_shapes=({0: torch.export.Dim("batch")},))  # fmt: skip
        exported = load_from_string(file.read_bytes())
    graph = exported.graph
    for each in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del each.metadata_props[:]  # where on this machine each line of code lies: nobody else's business
    data = exported.SerializeToString()
    session: Any = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return data, lambda h: torch.from_numpy(session.run(None, {"input": h.numpy()})[0])


@contextmanager
def quiet() -> Iterator[None]:
    """Without the exporters' notes for their own developers, and the warning of TorchScript's age."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), ExitStack() as stack:
        stack.callback(logging.disable, logging.root.manager.disable)
        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
        yield
