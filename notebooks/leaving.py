"""An explorer leaves Python: a page on which it moves in a browser, where its exported decoder runs.

    leaving.to_html(explorers.interpolation(model, codes, photos), "between.html")

The script of that page is `materials/site/viewer.js`.
"""

import base64
import copy
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from aelib import export, plots, report
from aelib.contexts import evaluating
from aelib.explorers.widgets import Explorer

SHOWN = 200  # photos, with their codes and conditions, that a page holds, at most
RUNTIME = "https://cdn.jsdelivr.net/npm/onnxruntime-web@1.30.0/dist/"
SITE = Path(__file__).parent.parent / "materials" / "site"


def to_html(explorer: Explorer, file: str | Path, runtime: str = RUNTIME) -> Path:
    """Write an HTML page that holds an explorer, its photos and its decoder, and return the file.

    Args:
        explorer: attributes, latent_space, interpolation, conditional or mapping.manifold.
        file: ends in .html; what is there is replaced.
        runtime: address of onnxruntime-web's folder `dist`, from which a browser gets 14 MB at the first
            touch; of one beside the page, as "ort/", where a server has both and there is no network.

    Raises ValueError: it encodes or searches, as `reconstructions`; a page only decodes. ImportError: a
    package for ONNX is missing.
    """
    data = base64.b64encode(described(explorer, decoder=decoder(explorer))).decode()
    script, style = ((SITE / f"viewer.{ending}").read_text("utf-8") for ending in ("js", "css"))
    return report.page(Path(file), explorer.name, [
        f"<h1>{explorer.name}</h1>\n<style>{style}</style>",
        f'<div class="explorer" data-explorer="data:;base64,{data}" data-runtime="{runtime}"></div>',
        f'<script type="module">\n{script}</script>',
    ])  # fmt: skip


def decoder(explorer: Explorer) -> bytes:
    """The decoder as an ONNX file, from codes, with any condition beside them, to mean pictures."""
    if not explorer.parts:
        raise ValueError(f"explorers.{explorer.name} needs Python: on a page a model only decodes")
    start = explorer.parts["start"].cpu()
    return export.to_onnx(copy.deepcopy(explorer.parts["model"].decoder).cpu(), torch.cat([start, start]))[0]


@torch.no_grad()
def described(explorer: Explorer, **more: Any) -> bytes:
    """What the script reads: tensors as safetensors have them, pictures (N, H, W, 3), JSON for the rest.

    Args:
        more: parts beside the explorer's own: "decoder", its bytes, or "address", where they are.
    """
    model, start = explorer.parts["model"], explorer.parts["start"]
    with evaluating(model):
        first = model.decoder(start.to(model.device)).mean
    tensors: dict[str, Tensor] = {}
    words: dict[str, Any] = {"kind": explorer.name, "shape": list(first.shape[1:])}
    for key, part in (explorer.parts | more | {"first": first, "model": None}).items():
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
