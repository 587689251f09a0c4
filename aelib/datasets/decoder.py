"""One photo, decoded; and the process that decodes blocks of them for `decoding`.

It is run by its path, not as a part of the package: so it imports Pillow alone, never torch, and is ready
in a tenth of a second.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import warnings
from contextlib import suppress
from typing import cast

from PIL import Image, UnidentifiedImageError

Job = tuple[bytes, list[bytes], str, int, tuple[int, int, int], int | None]
UPRIGHT = dict(  # what undoes each EXIF orientation but 1
    zip(range(2, 9), map(Image.Transpose, (0, 3, 1, 5, 4, 6, 2)), strict=True)
)
ORIENTATION = 0x0112
HIGH_BYTE = {"I;16": 1, "I;16L": 1, "I;16B": 0}  # of a pixel of 16 bits: where its upper half stands
WHITE = 2**16 - 1


def decode(file: str | bytes, shape: tuple[int, int, int], crop: int | None = None) -> bytes:
    """The central square of a photo, upright, resized to (C, H, W), as C·H·W bytes.

    Of an animation it is the first frame. What is transparent is laid over white; of 16 bits the upper
    eight count. A JPEG that is at least four times larger than asked for is decoded at a half, a quarter or
    an eighth of its size (never under twice the size asked for), which its format allows at a fraction of
    the cost.

    Args:
        shape: C is 3 (colour) or 1 (grey).
        crop: side of the square in pixels of the photo; None: the largest.

    Raises:
        Exception: of Pillow, in great variety, where it cannot be read.
    """
    channels, height, width = shape
    with Image.open(os.fsdecode(file)) as opened:
        across, down = opened.size
        side = crop or min(across, down)
        left, top = (across - side) // 2, (down - side) // 2
        shrunk = opened.draft(None, (2 * max(height, width),) * 2) if crop is None else None
        scale = shrunk[1][2] / across if shrunk else 1
        opened.load()
        photo: Image.Image = opened
        box: tuple[float, float, float, float] | None = None
        if scale == 1:
            photo = opened.crop((left, top, left + side, top + side))
        else:  # the square's edge may go through one of the larger pixels
            box = (left * scale, top * scale, (left + side) * scale, (top + side) * scale)
        held = _orientation(opened)
        upright = (width, height) if held < 5 else (height, width)
        plain = _plain(photo).convert("L" if channels == 1 else "RGB")
        small = plain.resize(upright, Image.Resampling.BICUBIC, box)
        if held in UPRIGHT:
            small = small.transpose(UPRIGHT[held])
    return small.tobytes() if channels == 1 else b"".join(band.tobytes() for band in small.split())


def _orientation(photo: Image.Image) -> int:
    """How the camera was held; 1 (upright) where the note of it is damaged: the photo need not be."""
    try:
        held = photo.getexif().get(ORIENTATION, 1)  # of any type
        return int(held) if held in UPRIGHT else 1
    except Exception:
        return 1


def _plain(photo: Image.Image) -> Image.Image:
    """Without transparency, and with eight bits a channel."""
    if photo.mode == "I" and cast(tuple[int, int], photo.getextrema())[1] <= WHITE:
        photo = photo.convert("I;16")  # Pillow reads PGM of 16 bits so
    if photo.mode in HIGH_BYTE:
        return Image.frombytes("L", photo.size, photo.tobytes()[HIGH_BYTE[photo.mode] :: 2])
    if photo.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits, and nothing says which number is white")
    if photo.has_transparency_data:
        photo = photo.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo)
    return photo


def reason(e: Exception, file: bytes) -> str:
    """Why a photo cannot be read, in a few words and without its path."""
    if isinstance(e, UnidentifiedImageError):
        return "not a photo" if os.path.getsize(file) else "empty file"
    if isinstance(e, IsADirectoryError) or file.endswith(b"/"):
        return "a folder that cannot be opened"
    if isinstance(e, OSError) and e.strerror:
        return e.strerror
    return (str(e) or type(e).__name__).splitlines()[0]


def block(job: Job) -> list[tuple[int, str]]:
    """Decode some photos into their place in a file; those that cannot be read stay black there.

    Args:
        job: the folder, the photos below it, the file and where in it the first pixel goes, shape, crop.

    Returns:
        For each that could not be read: its number among these photos, and why.

    Raises:
        OSError: the file cannot be written to (the disk is full).
    """
    folder, photos, part, start, shape, crop = job
    pixels, unread = bytearray(), []
    for i, photo in enumerate(photos):
        path = os.path.join(folder, photo)
        try:
            pixels += decode(path, shape, crop)
        except Exception as e:
            pixels += bytes(shape[0] * shape[1] * shape[2])
            unread.append((i, reason(e, path)))
    with open(part, "r+b") as out:
        out.seek(start)
        out.write(pixels)
    return unread


def serve() -> None:
    """Answer jobs from standard input until it is closed: then the process that asked is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asked
    warnings.simplefilter("ignore")  # of large photos (too large is an error) and of odd EXIF
    with suppress(EOFError, BrokenPipeError):
        while True:
            job = pickle.load(sys.stdin.buffer)
            try:
                answer: object = block(job)
            except OSError as e:
                answer = e
            pickle.dump(answer, sys.stdout.buffer)
            sys.stdout.buffer.flush()
    os._exit(0)  # without a last try to tell somebody who is gone


if __name__ == "__main__":
    serve()
