"""Image retrieval: codes that are compared, and an index that is asked."""

from .index import Answer, Coder, Index, Places, Whitening, codes, fingerprint, load, photo, save
from .photos import Found, index_run, search_run

__all__ = [
    "Answer", "Coder", "Found", "Index", "Places", "Whitening", "codes", "fingerprint", "index_run", "load",
    "photo", "save", "search_run",
]  # fmt: skip
