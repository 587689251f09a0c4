"""An explorer on a page without Python: its pictures, codes and words, and its decoder as an ONNX file.

The script that moves it in a browser is `viewer.js`, beside this file.
"""

import base64
import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from .. import export, plots, report
from ..contexts import evaluating

SHOWN = 200  # photos, with their codes and conditions, that a page holds, at most
RUNTIME = "https://cdn.jsdelivr.net/npm/onnxruntime-web@1.30.0/dist/"


def write(file: str | Path, kind: str, parts: Mapping[str, Any], runtime: str = RUNTIME) -> Path:
    """Write the page and return its file. What is what: `Explorer.to_html`, and `parts` of `Explorer`."""
    file = report.named(file)
    data = base64.b64encode(described(kind, parts, decoder=decoder(kind, parts))).decode()
    here = Path(__file__)
    script, style = (here.with_name(f"viewer.{ending}").read_text("utf-8") for ending in ("js", "css"))
    return report.page(file, kind, [
        f"<h1>{kind}</h1>\n<style>{style}</style>",
        f'<div class="explorer" data-explorer="data:;base64,{data}" data-runtime="{runtime}"></div>',
        f'<script type="module">\n{script}</script>',
    ])  # fmt: skip


def decoder(kind: str, parts: Mapping[str, Any]) -> bytes:
    """The decoder as an ONNX file, from codes, with any condition beside them, to mean pictures."""
    if not parts:
        raise ValueError(f"explorers.{kind} needs Python: on a page a model only decodes")
    start = parts["start"].cpu()
    return export.to_onnx(copy.deepcopy(parts["model"].decoder).cpu(), torch.cat([start, start]))[0]


@torch.no_grad()
def described(kind: str, parts: Mapping[str, Any], **more: Any) -> bytes:
    """What the script reads: tensors as safetensors have them, pictures (N, H, W, 3), JSON for the rest.

    Args:
        more: parts beside the explorer's own: "decoder", its bytes, or "address", where they are.
    """
    model, start = parts["model"], parts["start"]
    with evaluating(model):
        first = model.decoder(start.to(model.device)).mean
    tensors: dict[str, Tensor] = {}
    words: dict[str, Any] = {"kind": kind, "shape": list(first.shape[1:])}
    for key, part in {**parts, **more, "first": first, "model": None}.items():
        value = part() if callable(part) else part
        if isinstance(value, bytes):
            tensors[key] = torch.frombuffer(bytearray(value), dtype=torch.uint8)
        elif isinstance(value, Tensor) and value.ndim == 2:
            tensors[key] = value[:SHOWN].float().cpu().clone(memory_format=torch.contiguous_format)
        elif isinstance(value, plots.Pictures):
            tensors[key] = torch.from_numpy(plots.pixels(value[:SHOWN]).copy())
        else:
            words[key] = value
    return save(tensors, {"words": json.dumps(words)})
