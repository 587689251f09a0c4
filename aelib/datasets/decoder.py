"""One photo, decoded, for training and for queries; and the process that decodes blocks of them.

It is run by its path, not as a part of the package: so it imports no torch, and is ready in 0.1 seconds.
"""

import os
import pickle
import sys
import warnings
import zlib
from contextlib import suppress
from typing import cast

from PIL import Image, UnidentifiedImageError

SUFFIXES = (
    b".jpg", b".jpeg", b".jpe", b".jfif", b".mpo", b".png", b".apng", b".gif", b".bmp", b".dib", b".webp",
    b".tif", b".tiff", b".ppm", b".pgm", b".pbm", b".pnm", b".jp2", b".j2k", b".jpx", b".jpf", b".avif",
    b".tga",
)  # fmt: skip
NOT_READ = (  # photos too, but not by Pillow; of most cameras' own formats it would read the thumbnail
    b".heic", b".heif", b".hif", b".jxl", b".dng", b".cr2", b".cr3", b".nef", b".arw", b".orf", b".rw2",
    b".raf", b".pef", b".srw", b".nrw", b".x3f", b".psd", b".exr", b".hdr", b".qoi",
)  # fmt: skip
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "PPM", "WEBP", "TIFF", "JPEG2000", "AVIF")
BEGINNINGS = (  # of photos whose name has no suffix; a prefix, or what stands from byte 4 on
    b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"P4\n", b"P5\n", b"P6\n",
    b"\xff\x4f\xff\x51",
)  # fmt: skip
BOXES = (b"jP  ", b"ftypavif", b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1")
MADE_HERE = "aelib"  # what "Software" is in the pictures of many pictures that aelib writes

Job = tuple[bytes, list[bytes], str, int, tuple[int, int, int], int | None]
Block = tuple[int, int, list[tuple[int, str]]]
Box = tuple[float, float, float, float]
# what undoes each EXIF orientation but 1
UPRIGHT = dict(zip(range(2, 9), map(Image.Transpose, (0, 3, 1, 5, 4, 6, 2)), strict=True))
ORIENTATION = 0x0112
HIGH_BYTE = {"I;16": 1, "I;16L": 1, "I;16B": 0}  # of a pixel of 16 bits: where its upper half stands
WHITE = 2**16 - 1

Image.preinit()  # the common formats; Pillow would load all sixty to find one of them


class BoxError(ValueError):
    """A box that is empty, or reaches outside of its photo."""


def decode(
    file: str | bytes | os.PathLike[str], shape: tuple[int, int, int], crop: int | None = None,
    box: Box | None = None,
) -> bytes:  # fmt: skip
    """The central square of a photo, or a box of it, upright, resized to (C, H, W), as C·H·W bytes.

    Of an animation it is the first frame. What is transparent is laid over white; of 16 bits the upper eight
    count. A JPEG at least four times larger than asked for is decoded at ½, ¼ or ⅛ of its size (never under
    twice the size asked for), which its format allows at a fraction of the cost.

    Args:
        shape: C is 3 (colour) or 1 (grey).
        crop: side of the square in pixels of the photo; None: the largest.
        box: (left, top, right, bottom) in pixels of the upright photo, in place of the square.

    BoxError if the box is empty or reaches outside; Exception of Pillow, in great variety, where it cannot be
    read.
    """
    channels, height, width = shape
    with _open(file) as opened:
        held = _orientation(opened)
        photo: Image.Image = opened
        if box is not None and held in UPRIGHT:  # without a box it is the smaller picture that is turned
            photo, held = opened.transpose(UPRIGHT[held]), 1
        across, down = photo.size
        side = crop or min(across, down)
        left, top = (across - side) // 2, (down - side) // 2
        place: Box = (left, top, left + side, top + side) if box is None else box
        if box is not None and not (0 <= box[0] < box[2] <= across and 0 <= box[1] < box[3] <= down):
            raise BoxError(f"a box is (left, top, right, bottom) inside {across}×{down}; got {box}")
        shrunk = None if crop or box is not None else opened.draft(None, (2 * max(height, width),) * 2)
        scale = shrunk[1][2] / across if shrunk else 1
        opened.load()
        within: Box | None = None
        if scale == 1:
            photo = photo.crop(cast(tuple[int, int, int, int], place))
        else:  # the square's edge may go through one of the larger pixels
            within = cast(Box, tuple(edge * scale for edge in place))
        upright = (width, height) if held < 5 else (height, width)
        plain = _plain(photo).convert("L" if channels == 1 else "RGB")
        small = plain.resize(upright, Image.Resampling.BICUBIC, within)
        if held in UPRIGHT:
            small = small.transpose(UPRIGHT[held])
    return small.tobytes() if channels == 1 else b"".join(band.tobytes() for band in small.split())


def whole(file: str | bytes | os.PathLike[str], longest: int = 2000) -> Image.Image:
    """All of a photo, upright and in colour, no side longer than so many pixels; errors as in `decode`."""
    with _open(file) as opened:
        held = _orientation(opened)
        opened.draft(None, (longest, longest))
        photo = _plain(opened).convert("RGB")
    photo.thumbnail((longest, longest))
    return photo.transpose(UPRIGHT[held]) if held in UPRIGHT else photo


def _open(file: str | bytes | os.PathLike[str]) -> Image.Image:
    """A photo whose pixels are not read yet; `ValueError` for what is none that is meant."""
    suffix = os.path.splitext(os.fsencode(file).lower())[1]
    if suffix in NOT_READ:
        raise ValueError(f"{suffix[1:].decode().upper()} is a format that is not read: make it a JPEG or PNG")
    # a TGA has no mark at its beginning: anything may look like one
    opened = Image.open(os.fsdecode(file), formats=(*FORMATS, "TGA") if suffix == b".tga" else FORMATS)
    if opened.info.get("Software") == MADE_HERE:
        opened.close()
        raise ValueError("no photo, but many pictures in one, which aelib made")
    return opened


def is_photo(path: bytes) -> bool:
    """Whether a file is meant to be a photo: by the end of its name, or by its first bytes if it has none."""
    name = os.path.basename(path).lower()
    if b"." in name:
        return name.endswith(SUFFIXES + NOT_READ)
    with suppress(OSError), open(path, "rb") as file:
        first = file.read(12)
        webp = first.startswith(b"RIFF") and first.endswith(b"WEBP")
        return webp or first.startswith(BEGINNINGS) or first[4:].startswith(BOXES)
    return False


def _orientation(photo: Image.Image) -> int:
    """How the camera was held; 1 (upright) where the note of it is damaged: the photo need not be."""
    try:
        held = photo.getexif().get(ORIENTATION, 1)  # of any type
        return int(held) if held in UPRIGHT else 1
    except Exception:
        return 1


def _plain(photo: Image.Image) -> Image.Image:
    """Without transparency, and with eight bits a channel."""
    if photo.mode == "I":
        low, high = cast(tuple[int, int], photo.getextrema())
        if low >= 0 and high <= WHITE:
            photo = photo.convert("I;16")  # Pillow reads PGM of 16 bits so
    if photo.mode in HIGH_BYTE:
        return Image.frombytes("L", photo.size, photo.tobytes()[HIGH_BYTE[photo.mode] :: 2])
    if photo.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits, and nothing says which number is white")
    if photo.has_transparency_data:
        photo = photo.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo)
    return photo.convert("RGB") if photo.mode == "LAB" else photo  # Pillow knows no way from it to grey


def reason(e: Exception, file: str | bytes | os.PathLike[str]) -> str:
    """Why a photo cannot be read, in a few words and without its path."""
    if isinstance(e, UnidentifiedImageError):
        return "not a photo" if os.path.getsize(file) else "empty file"
    if isinstance(e, IsADirectoryError) or os.fsencode(file).endswith(b"/"):
        return "a folder that cannot be opened"
    if isinstance(e, OSError) and e.strerror:
        return e.strerror
    return (str(e) or type(e).__name__).splitlines()[0]


def checksum(pixels: bytes | bytearray | memoryview, unread: list[tuple[int, str]]) -> int:
    """Of the pixels of a block and of what is noted of it: a change of one byte is always another number."""
    notes = "".join(f"{i} {why}\n" for i, why in unread)
    return zlib.crc32(notes.encode(errors="backslashreplace"), zlib.crc32(pixels))


def block(job: Job) -> Block:
    """Decode some photos into their place in a file; those that cannot be read stay black there.

    A job is the folder, the photos below it, the file and where in it the first pixel goes, shape, crop. It
    returns how many photos, the checksum, and for each that could not be read its number among them, and why.
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
    return len(photos), checksum(pixels, unread), unread


def serve() -> None:
    """Answer jobs from standard input until it is closed: then the process that asked is gone."""
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
    os._exit(0)  # without a last try to answer a process that is gone


if __name__ == "__main__":
    serve()
