"""aelib: autoencoders that can be read, tested and measured.

`from aelib import datasets, nets` imports modules; the names used most stand here too and are imported
when they are first used, so that `import aelib` itself is quick.
"""

import importlib
import os
from typing import Any

# OpenMP threads that spin while they wait make a training beside any other busy process 5 to 50 times
# slower. It acts only if it is set before torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

__version__ = "0.1.0"
_HOMES = {
    "Autoencoder": "models", "autoencoder": "models", "load": "pretrained", "load_with_data": "pretrained",
    "Batch": "datasets", "Images": "datasets", "Split": "datasets", "elbo": "losses", "reconstruction": "losses",
    "train": "training", "fit": "runs", "History": "training", "AutoencoderTransformer": "estimators",
    "diagnose": "diagnosis",
}  # fmt: skip
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"aelib has no {name!r}; it has {', '.join(_HOMES)}, and modules such as aelib.nets")
