"""Image retrieval: codes that are compared, an index that is asked, and how good its answers are."""

from .coding import Coder, Contrast, Places, Whitening, codes, photo
from .index import Answer, Index, fingerprint, load, precision_at, save
from .photos import Found, index_run, search_run

__all__ = [
    "Answer", "Coder", "Contrast", "Found", "Index", "Places", "Whitening", "codes", "fingerprint",
    "index_run", "load", "photo", "precision_at", "save", "search_run",
]  # fmt: skip
