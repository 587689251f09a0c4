"""Image retrieval: codes that are compared, an index that is asked, and how good its answers are."""

from .coding import Coder, Contrast, Places, Whitening, codes, photo
from .index import Answer, Index, fingerprint, load, save
from .verification import Verification, precision_at, similarity, threshold, verification

__all__ = [
    "Answer", "Coder", "Contrast", "Index", "Places", "Verification", "Whitening", "codes", "fingerprint",
    "load", "photo", "precision_at", "save", "similarity", "threshold", "verification",
]  # fmt: skip
