"""The verb `export`: encoder and decoder as files that need no aelib."""

from __future__ import annotations

from typing import Literal


def export(
    run: str, format: Literal["onnx", "torchscript"] = "onnx", out: str = "", which: str = "best"
) -> None:
    """Write the encoder (pictures → mean codes) and the decoder (codes → mean pictures), for any batch size.

    Their outputs are compared with the model's own, on random numbers and on test pictures, and may differ by
    0.0001 of the larger of 1 and the number itself. If they differ by more, nothing is written. (PyTorch
    calls TorchScript deprecated; ONNX is the safe choice.)

    Args:
        run: folder of the run.
        format: onnx for other programs (ONNX Runtime …), torchscript for libtorch.
        out: folder for encoder.onnx and decoder.onnx (or .pt); the run's own by default. Elsewhere nothing is
            replaced.
        which: checkpoint: best, last, or a name.
    """
    from ..export import exported
    from .inputs import opened

    model, split = opened(run, None, which)
    for file, worst in exported(model.cpu(), split.test, format, out or run, run).items():
        print(f"{file}: differs from the model by {worst:.1e} at most")
