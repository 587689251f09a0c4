"""Files of pictures for page 14: of JPEG and WebP, and of tokens, which an entropy coder writes."""

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from aelib import metrics

# ---- JPEG and WebP -----------------------------------------------------------------------------------------

BESIDE = {"JPEG": {"subsampling": "4:2:0"}, "WebP": {"method": 4}}  # chosen on validation faces, see page 14
CONTAINER = {"JPEG": 0, "WebP": 20}  # bytes of WebP's RIFF container: its name, and twice the file's length


def file_of(picture: np.ndarray, kind: str, quality: int) -> bytes:
    """A picture (C, H, W), uint8, as a file."""
    out = io.BytesIO()
    Image.fromarray(picture.transpose(1, 2, 0)).save(out, kind, quality=quality, **BESIDE[kind])
    return out.getvalue()


def own_bytes(files: Sequence[bytes], kind: str) -> np.ndarray:
    """(N,) bytes of each file that are its own: those that are the same in all files are left out.

    A byte is the same if all files have it at the same place, counted from the beginning, or from the end.
    """
    n, head = min(map(len, files)), CONTAINER[kind]
    rows = np.array([[*file[:n]] for file in files])
    ends = np.array([[*file[-(n - head) :]] for file in files])[:, ::-1]
    last = int(np.cumprod((ends == ends[:1]).all(0)).sum())
    same = (rows == rows[:1]).all(0)[head : n - last]
    return np.array([len(file) for file in files]) - head - last - same.sum()


def curve(pixels: np.ndarray, kind: str, qualities: Sequence[int]) -> dict[str, np.ndarray]:
    """Mean own bytes, MSE and SSIM of pictures (N, C, H, W), one per quality."""
    x, found = torch.from_numpy(pixels).float() / 255, []
    for quality in qualities:
        files = [file_of(picture, kind, quality) for picture in pixels]
        opened = [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]
        y = torch.from_numpy(np.stack(opened).transpose(0, 3, 1, 2)).float() / 255
        each = own_bytes(files, kind).mean(), metrics.mse(y, x).mean(), metrics.ssim(y, x).mean()
        found.append([float(value) for value in each])
    return dict(zip(("bytes", "mse", "ssim"), np.array(found).T, strict=True))


def at_bytes(table: dict[str, Any], name: str, size: float) -> float:
    """What a curve has at so many bytes, between two of its points; nan outside of them."""
    order = np.argsort(table["bytes"])
    sizes, values = (np.asarray(table[key])[order] for key in ("bytes", name))
    return float(np.interp(size, sizes, values, left=np.nan, right=np.nan))


def size_for(table: dict[str, Any], mse: float) -> float:
    """At how many bytes a curve has this MSE, between two of its points; nan outside of them."""
    order = np.argsort(table["mse"])
    error, size = (np.asarray(table[name])[order] for name in ("mse", "bytes"))
    return float(np.interp(mse, error, size, left=np.nan, right=np.nan))


# ---- a file ------------------------------------------------------------------------------------------------

Following = Callable[[Tensor], Tensor]  # (1, n) tokens → (words,) logits of the next one


def _coder() -> Any:
    try:
        import constriction
    except ImportError as e:
        raise ImportError('constriction is missing: pip install "constriction>=0.4.1,<0.6"') from e
    return constriction.stream


def _shares(following: Following, before: Sequence[int]) -> np.ndarray:
    """(1, words) float32 probabilities of the next token. It is computed alike for writing and reading."""
    with torch.no_grad():
        logits = following(torch.tensor(before, dtype=torch.long)[None])
    return logits.double().softmax(-1).float().numpy()[None]


def write(tokens: Sequence[int], following: Following) -> bytes:
    """Tokens as the bytes of a file, by a range coder: about Σ −log₂ P(token | those before it) bits."""
    stream, tokens = _coder(), [int(t) for t in tokens]
    model = stream.model.Categorical(perfect=False)
    table = [_shares(following, tokens[:n]) for n in range(len(tokens))]
    encoder = stream.queue.RangeEncoder()
    for token, share in zip(tokens, table, strict=True):
        encoder.encode(np.array([token], np.int32), model, share)
    data = encoder.get_compressed().astype(">u4").tobytes()
    # any number in the coder's last interval will do: the one with the fewest bytes
    for n in range(max(0, len(data) - 8), len(data)):
        first = int.from_bytes(data[:n], "big")
        for number in (first, first + 1):
            short = number.to_bytes(n + 1, "big")[1:]
            if _read(short, [lambda _, share=share: share for share in table]) == tokens:
                return short
    return data


def read(data: bytes, n: int, following: Following) -> list[int]:
    """The n tokens of a file.

    ValueError: no tokens have these bytes: the file is damaged, or it was written with another prior.
    """
    tokens = _read(data, [lambda before: _shares(following, before)] * n)
    if tokens is None:
        raise ValueError(
            f"these {len(data)} bytes are not {n} tokens: damaged, or written with another prior"
        )
    return tokens


def _read(data: bytes, shares: Sequence[Callable[[list[int]], np.ndarray]]) -> list[int] | None:
    stream = _coder()
    model = stream.model.Categorical(perfect=False)
    padded = data + bytes(-len(data) % 4)
    decoder, tokens = stream.queue.RangeDecoder(np.frombuffer(padded, ">u4").astype(np.uint32)), list[int]()
    for share in shares:
        try:
            tokens.append(int(decoder.decode(model, share(tokens))[0]))
        except AssertionError:  # what constriction says of bytes that mean nothing
            return None
    return tokens
