"""Explorer of a conditional model: the code stays, the condition changes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import ipywidgets as widgets
import torch
from torch import Tensor

from .. import latent, plots
from ..models import Autoencoder
from .widgets import Explorer, Panel, checked, grid, row

IN_COLUMN = 10  # check boxes that stand beside the pictures; more stand below


def conditional_images(model: Autoencoder, z: Tensor, c: Tensor) -> Tensor:
    """(N, C, H, W) images of the codes z (N, K) under the condition c: (M,) for all, or (N, M) one each."""
    return latent.decode(model, z, c.expand(len(z), -1))


def conditional_strip(model: Autoencoder, z: Tensor, conditions: Tensor) -> Tensor:
    """(N · S, C, H, W): each code (N, K) under each of conditions (S, M), a code a row; a still picture."""
    n, s = len(z), len(conditions)
    return latent.decode(model, z.repeat_interleave(s, 0), conditions.repeat(n, 1))


def conditional(
    model: Autoencoder, codes: Tensor, photos: plots.Pictures, conditions: Tensor, names: Sequence[str]
) -> Explorer:
    """Keep the code of a photo and change its condition: another class, or attributes by check boxes.

    Args:
        codes: (N, K), the means of q(z|x, c) at the photos' own conditions.
        photos: (N, C, H, W).
        conditions: (N, M) their own. Rows with a single 1 among 0 are classes, chosen from a list. Otherwise
            they are attributes, 1 present and 0 absent, or, where −1 occurs, −1 absent and 0 not known,
            which a question mark says.
        names: M, what each condition means.

    Raises:
        ValueError: lengths that differ, names that do not match, or values other than −1, 0 and 1.
    """
    codes, conditions = checked(codes, photos), conditions.detach().cpu().float()
    if conditions.ndim != 2 or len(conditions) != len(codes):
        raise ValueError(f"{len(codes)} codes, but conditions {tuple(conditions.shape)}: need a row per code")
    if not conditions.shape[1] == len(names) > 0:
        raise ValueError(f"conditions of size {conditions.shape[1]}, but {len(names)} names: need one each")
    if not torch.isin(conditions, torch.tensor([-1.0, 0.0, 1.0])).all():
        raise ValueError("conditions are classes or attributes, with values −1, 0 and 1 alone")
    absent = conditions.min().clamp_max(0)
    classes = len(names) > 1 and absent == 0 and bool((conditions.sum(1) == 1).all())
    photo, decoded = Panel("photo"), Panel("decoded")
    face = widgets.IntSlider(0, 0, len(codes) - 1, description="photo")
    kind = widgets.Dropdown(options=[(name, i) for i, name in enumerate(names)], description="class")
    boxes = [widgets.Checkbox(description=name, indent=False) for name in names]
    c = torch.empty(0)

    def own() -> None:
        """The photo's own condition, in the tensor and in the controls."""
        nonlocal c
        c = conditions[face.value].clone()
        kind.value = int(c.argmax())
        for box, value in zip(boxes, c.tolist(), strict=True):
            box.value = value == 1

    def choose() -> None:
        c.zero_()[kind.value] = 1

    def tick(k: int) -> None:
        # only the box that was touched: an attribute that is not known stays so until then
        c[k] = 1 if boxes[k].value else absent

    def draw() -> None:
        i = face.value
        photo.show(photos[i : i + 1])
        decoded.show(conditional_images(model, codes[i : i + 1], c))
        for box, name, value in zip(boxes, names, c.tolist(), strict=True):
            box.description = f"{name} ?" if value == 0 and absent < 0 else name

    own()
    explorer = Explorer("conditional", draw)
    explorer.follow(face, action=own)
    reset = explorer.button("reset", "the photo's own condition", own)
    if classes:
        explorer.follow(kind, action=choose)
        rows = [row(face, kind, reset), row(photo, decoded)]
    else:
        for k, box in enumerate(boxes):
            explorer.follow(box, action=partial(tick, k))
        # beside the pictures while that makes it no taller than they are
        ticks = grid(boxes, 30, f"1 1 {'220px' if len(boxes) <= IN_COLUMN else '100%'}")
        rows = [row(face, reset), row(photo, decoded, ticks)]
    return explorer.of(*rows)
