"""aelib: autoencoders that can be read, tested and measured.

`from aelib import datasets, nets` imports modules; the names used most stand here too and are imported
when they are first used, so that `import aelib` itself is quick.
"""

import importlib
import io
import os
import sys
import tempfile
from typing import Any

# OpenMP threads that spin while they wait make a training beside any other busy process 5 to 50 times
# slower. It acts only if it is set before torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
# an escape stands for what a terminal cannot show (σ, or a file's name in an old encoding), not an error
if isinstance(sys.stdout, io.TextIOWrapper):
    sys.stdout.reconfigure(errors="backslashreplace")
# umap cannot be imported where it finds no place for what it compiles: neither beside it nor in the home
if not os.access(os.path.expanduser("~"), os.W_OK):
    _scratch = tempfile.TemporaryDirectory(prefix="aelib-")
    os.environ.setdefault("NUMBA_CACHE_DIR", _scratch.name)
    os.environ.setdefault("MPLCONFIGDIR", _scratch.name)

__version__ = "0.1.0"
_HOMES = {
    "Autoencoder": "models", "autoencoder": "models", "load": "pretrained", "load_with_data": "pretrained",
    "Batch": "datasets", "Images": "datasets", "Split": "datasets", "elbo": "losses",
    "reconstruction": "losses", "train": "training", "fit": "runs", "History": "training",
    "AutoencoderTransformer": "estimators", "AutoencoderOutlierDetector": "estimators",
    "diagnose": "diagnosis",
}  # fmt: skip
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"aelib has no {name!r}; it has {', '.join(_HOMES)}, and modules such as aelib.nets")
