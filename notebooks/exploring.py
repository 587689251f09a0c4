"""What the site keeps of an explorer: written while its page runs, moved in a browser without Python.

`python notebooks/execute.py 00` writes it with the page, `python notebooks/execute.py --explorers 00` alone.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import framing
import numpy as np
from IPython import get_ipython

from aelib.explorers import page
from aelib.explorers.widgets import Explorer
from aelib.files import write_file

FOLDER = Path(__file__).parent.parent / "materials" / "site" / "trained"
LIMIT = 2_000_000  # bytes, of each file
RATES = [n / 1000 for n in (*range(1, 10, 2), *range(10, 50, 5), *range(50, 200, 25), *range(200, 950, 50))]
# page → which of its explorers, from 0 → control → its values, at which the pictures are kept; none: the
# browser decodes. They are of models that the page trains, and show nobody's photo.
KEPT: dict[str, dict[int, dict[str, Sequence[Any]]]] = {
    "00": {1: {}},
    "03": {0: {}},
    "04": {0: {}},
    "07": {0: {"image": range(60), "difference × 4": (False, True)}},
    "09": {0: {"node": range(18), "links seen": range(7)}},
    "13": {0: {"rate": RATES}},
}
UNTITLED = {  # page → what a picture without a title shows
    "09": "Bars of the six nodes that are the likeliest to be linked, and the ranks of the true links.",
    "13": "Histograms of the scores of normal and of strange pictures, and a line at the threshold.",
}


def watch(number: str, places: Sequence[int] = ()) -> None:
    """In a kernel: keep the explorers that a page shows; it shows these, in this order (by default all)."""
    shown = iter(places or itertools.count())

    def bundle(explorer: Explorer) -> Any:
        if (k := next(shown)) in KEPT.get(number, ()):
            keep(explorer, FOLDER / f"{number}-{k}", KEPT[number][k], UNTITLED.get(number, ""))
        return explorer._repr_mimebundle_()

    get_ipython().display_formatter.mimebundle_formatter.for_type(Explorer, bundle)


def keep(
    explorer: Explorer, stem: Path, positions: Mapping[str, Sequence[Any]] = {}, untitled: str = ""
) -> None:  # fmt: skip
    """Write STEM.safetensors, what the viewer reads, and of what decodes STEM.onnx, in half precision.

    With positions the first has the frames there. Without, it has the explorer's own parts, and beside them
    "witnesses", positions of its controls, and "witnessed", what Python decoded there.

    Raises ValueError: a file is larger than `LIMIT`, or there are no positions and it does more than decode.
    """
    if positions:
        files = {".safetensors": framing.frames(explorer, positions, untitled)}
    else:
        files = {".onnx": halved(page.decoder(explorer.name, explorer.parts))}
        said, seen = zip(*framing.witnesses(explorer), strict=True)
        more = {"witnesses": list(said), "witnessed": np.stack(seen).transpose(0, 3, 1, 2)}
        more["address"] = f"{stem.name}.onnx"
        files[".safetensors"] = page.described(explorer.name, explorer.parts, **more)
    for ending, data in files.items():
        if len(data) > LIMIT:
            raise ValueError(f"{stem.name}{ending} would have {len(data):,} bytes; at most {LIMIT:,}")
    for ending, data in files.items():
        write_file(stem.with_name(stem.name + ending), data)


def halved(file: bytes) -> bytes:
    """An ONNX file with its weights in half precision, cast to single before all else: half the size."""
    import onnx

    model = onnx.load_from_string(file)
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype == "float32":
            name = weight.name
            weight.CopyFrom(onnx.numpy_helper.from_array(values.astype("float16"), f"{name}_half"))
            cast = onnx.helper.make_node("Cast", [weight.name], [name], to=onnx.TensorProto.FLOAT)
            model.graph.node.insert(0, cast)
    return model.SerializeToString()
