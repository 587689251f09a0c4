"""Explorers of a code: moved in its space, decoded under another condition."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial
from typing import cast

import ipywidgets as widgets
import torch
from torch import Tensor, nn

from .. import latent, plots
from ..contexts import seeded
from ..models import Autoencoder, join
from .widgets import Explorer, Panel, checked, grid, row

OBEYED = 0.9  # share of faces that obey an attribute, above which it counts as drawn
IN_COLUMN = 10  # check boxes that stand beside the pictures; more stand below


def _labels(names: Iterable[str], drawn: Mapping[str, float]) -> dict[str, str]:
    """Attribute → what it is called: of one that is hardly drawn, with the share that obey."""
    return {n: f"{n} ({drawn[n]:.0%})" if drawn.get(n, 1.0) < OBEYED else n for n in names}


def attributes_strip(model: Autoencoder, z: Tensor, v: Tensor, strengths: Sequence[float]) -> Tensor:
    """(N · S, C, H, W): codes (N, K) at each of S strengths along v (K,), a code a row.

    Or of one code (K,) along each of v (N, K), an axis a row: `latent_space_strip`.
    """
    moved = z[..., None, :] + torch.tensor(strengths)[:, None] * v[..., None, :]
    return latent.decode(model, moved.flatten(0, 1))


latent_space_strip = attributes_strip


def attributes(
    model: Autoencoder, codes: Tensor, photos: plots.Pictures, directions: Mapping[str, Tensor],
    drawn: Mapping[str, float] = {},
) -> Explorer:  # fmt: skip
    """Choose a face and an attribute, and slide its strength from −3 to 3.

    Args:
        codes: (N, K) of the faces to choose from.
        photos: (N, C, H, W) the faces themselves, shown beside; of random codes, what they decode to.
        directions: attribute → vector (K,), the slider's 1; see `latent.direction` and `in_deviations`.
        drawn: attribute → share of faces that show it, or lose it, at the slider's ends, as a judge says
            (`pretrained.drawn`). Where it is below 0.9 a check box offers the attribute, with the share.

    Raises ValueError: there are no directions, or not as many photos as codes.
    """
    if not directions:
        raise ValueError("no attributes to choose from: directions is empty")
    codes, labels = checked(codes, photos), _labels(directions, drawn)
    hidden = {name for name, label in labels.items() if label != name}
    face = widgets.IntSlider(0, 0, len(codes) - 1, description="face")
    others = widgets.Checkbox(len(hidden) == len(directions), description="hardly drawn too", indent=False)

    def offered() -> list[tuple[str, str]]:
        return [(label, n) for n, label in labels.items() if others.value or n not in hidden]

    name = widgets.Dropdown(options=offered(), description="attribute")
    slider = widgets.FloatSlider(0.0, min=-3, max=3, step=0.1, description="strength", readout_format="+.1f")
    before, after = Panel("original"), Panel("decoded")

    def draw() -> None:
        i = slice(face.value, face.value + 1)
        before.show(photos[i])
        after.show(attributes_strip(model, codes[i], directions[name.value].cpu(), [slider.value]))

    explorer = Explorer("attributes", draw, face, name, slider)
    explorer.follow(others, action=lambda: setattr(name, "options", offered()))
    reset = explorer.button("reset", "strength 0", lambda: setattr(slider, "value", 0.0))
    explorer.parts = {
        "model": model, "start": codes[:1], "codes": codes, "photos": photos, "names": [*labels.values()],
        "directions": lambda: torch.stack([v.cpu() for v in directions.values()]),
        "hidden": [n in hidden for n in directions],
    }  # fmt: skip
    top = row(face, name, others) if hidden else row(face, name)
    return explorer.of(top, row(slider, reset), row(before, after))


def latent_space_random(model: Autoencoder, codes: Tensor, seed: int) -> Tensor:
    """(K,) a code sampled from the model's prior, or from one fitted to the codes; see `latent.matched`."""
    return _random(latent.matched(model, codes)[0], seed)


def _random(model: Autoencoder, seed: int) -> Tensor:
    with torch.no_grad(), seeded(seed, model.device):
        return cast(nn.Module, model.prior)(None).sample().flatten().cpu()


def latent_space(
    model: Autoencoder, codes: Tensor, photos: plots.Pictures, directions: Mapping[str, Tensor] = {},
    components: int = 8,
) -> Explorer:  # fmt: skip
    """Slide a code along the directions in which the codes spread most, and along attributes.

    It starts at the mean code; "random" goes to a code of `latent_space_random` (and the sliders with it),
    "reset" back to the mean. Beside the decoded image stands the photo whose code is nearest.

    Args:
        codes: (N, K) of the photos.
        photos: (N, C, H, W).
        directions: attribute → vector (K,), its slider's 1, as in `attributes`.
        components: how many principal directions, at most K; their sliders count in standard deviations.

    Raises ValueError: lengths that differ, a direction that is not (K,), or fewer than two codes.
    """
    codes = checked(codes, photos)
    principal = latent.principal_directions(codes, min(components, codes.shape[1]))
    for name, v in directions.items():
        if v.shape != codes[0].shape:
            raise ValueError(f"direction {name!r} is {tuple(v.shape)}, but a code is {tuple(codes[0].shape)}")
    axes = torch.stack([*principal, *(v.cpu() for v in directions.values())])
    squares = principal.square().sum(1)
    names = [f"{i + 1} ({part:.0%})" for i, part in enumerate(squares / codes.var(0).sum())]
    sliders = [
        widgets.FloatSlider(0.0, min=-3, max=3, step=0.1, description=name, readout_format="+.1f")
        for name in (*names, *directions)
    ]
    decoded, near = Panel("decoded"), Panel("nearest photo")
    mean, seeds = codes.mean(0), itertools.count()
    sampler = cache(lambda: latent.matched(model, codes)[0])  # fitted once, and only if a code is asked for
    start = mean

    def move(z: Tensor) -> None:
        """The principal sliders show where z is; what they cannot show stays in the start."""
        nonlocal start
        amounts = torch.nan_to_num((z - mean) @ principal.T / squares).clamp(-3, 3)
        amounts = torch.cat([(10 * amounts).round() / 10, torch.zeros(len(directions))])
        start = z - amounts @ axes
        for slider, value in zip(sliders, amounts.tolist(), strict=True):
            slider.value = round(value, 1)

    def draw() -> None:
        z = (start + torch.tensor([slider.value for slider in sliders]) @ axes)[None]
        decoded.show(latent.decode(model, z))
        i = int(latent.nearest(codes, z))
        near.title.value = f"nearest photo: {i}"
        near.show(photos[i : i + 1])

    explorer = Explorer("latent_space", draw, *sliders)
    random = explorer.button("random", "a code", lambda: move(_random(sampler(), next(seeds))))
    reset = explorer.button("reset", "the mean code, all sliders 0", lambda: move(mean))
    title = widgets.Label("principal directions (of variance), in sd")
    column = widgets.VBox([title, grid(sliders[: len(names)], 200)], layout=widgets.Layout(flex="1 1 270px"))
    others = row(grid(sliders[len(names) :], 200))
    explorer.parts = {
        "model": model, "start": mean[None], "codes": codes, "photos": photos, "axes": axes,
        "names": [*names, *directions], "principal": len(names),
        "random": lambda: torch.stack([_random(sampler(), seed) for seed in range(32)]),
    }  # fmt: skip
    return explorer.of(row(random, reset), row(decoded, near, column), others)


def interpolation(model: Autoencoder, codes: Tensor, photos: plots.Pictures) -> Explorer:
    """Choose two photos, A and B, and slide from the code of one to that of the other.

    Args:
        codes: (N, K) of the photos, at least two.
        photos: (N, C, H, W).

    Raises ValueError: lengths that differ, or fewer than two codes.
    """
    codes = checked(codes, photos)
    if len(codes) < 2:
        raise ValueError("interpolation needs two photos at least; got one")
    first, second = (widgets.IntSlider(i, 0, len(codes) - 1, description=name) for i, name in enumerate("AB"))
    kind = widgets.Dropdown(options=["linear", "spherical"], description="way")
    t = widgets.FloatSlider(0.5, min=0, max=1, step=0.02, description="t")
    photo_a, between, photo_b = Panel("A"), Panel("decoded"), Panel("B")

    def draw() -> None:
        i, j = first.value, second.value
        photo_a.show(photos[i : i + 1])
        photo_b.show(photos[j : j + 1])
        between.show(latent.decode(model, latent.interpolate(codes[i], codes[j], [t.value], kind.value)))

    explorer = Explorer("interpolation", draw, first, second, kind, t)
    start = latent.interpolate(codes[0], codes[1], [0.5])
    explorer.parts = {"model": model, "start": start, "codes": codes, "photos": photos}
    return explorer.of(row(first, second), row(t, kind), row(photo_a, between, photo_b))


def conditional_strip(model: Autoencoder, z: Tensor, conditions: Tensor) -> Tensor:
    """(N · S, C, H, W): each code (N, K) under each of conditions (S, M), a code a row; a still picture."""
    return latent.decode(model, z.repeat_interleave(len(conditions), 0), conditions.repeat(len(z), 1))


def conditional(
    model: Autoencoder, codes: Tensor, photos: plots.Pictures, conditions: Tensor, names: Sequence[str],
    drawn: Mapping[str, float] = {},
) -> Explorer:  # fmt: skip
    """Keep the code of a photo and change its condition: another class, or attributes by check boxes.

    An attribute that is not the photo's own goes to the decoder as 1 or −1 times the strength on the slider,
    from 0 to 6: beyond 1 it is exaggerated.

    Args:
        codes: (N, K), the means of q(z|x, c) at the photos' own conditions.
        photos: (N, C, H, W).
        conditions: (N, M) their own. Rows with a single 1 among 0 are classes, chosen from a list. Otherwise
            they are attributes, 1 present and 0 absent, or, where −1 occurs, −1 absent and 0 not known ("?").
        names: M, what each condition means.
        drawn: attribute → share of faces that show it, or lose it, at the strength that suits it, as in
            `attributes`.

    Raises ValueError: lengths that differ, names that do not match, or values other than −1, 0 and 1.
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
    labels = _labels(names, drawn)
    hidden = {name for name, label in labels.items() if label != name}
    boxes = [widgets.Checkbox(description=label, indent=False) for label in labels.values()]
    others = widgets.Checkbox(len(hidden) == len(boxes), description="hardly drawn too", indent=False)
    strength = widgets.FloatSlider(1.0, min=0, max=6, step=0.25, description="strength")
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
        asked = torch.where(c == conditions[i], c, c * strength.value)
        decoded.show(conditional_strip(model, codes[i : i + 1], asked[None]))
        for box, label, value in zip(boxes, labels.values(), c.tolist(), strict=True):
            box.description = f"{label} ?" if value == 0 and absent < 0 else label

    own()
    explorer = Explorer("conditional", draw, *([] if classes else [strength]))
    explorer.parts = {
        "model": model, "start": join(codes[:1], conditions[:1]), "codes": codes, "photos": photos,
        "conditions": conditions, "names": [*labels.values()], "hidden": [n in hidden for n in names],
        "classes": bool(classes), "absent": float(absent),
    }  # fmt: skip
    explorer.follow(face, action=own)
    reset = explorer.button("reset", "the photo's own condition", own)
    if classes:
        explorer.follow(kind, action=choose)
        rows = [row(face, kind, reset), row(photo, decoded)]
    else:
        for k, box in enumerate(boxes):
            explorer.follow(box, action=partial(tick, k))

        def offer() -> None:
            for box, name in zip(boxes, names, strict=True):
                box.layout.display = None if others.value or name not in hidden else "none"

        offer()
        explorer.follow(others, action=offer)
        # beside the pictures while that makes it no taller than they are
        ticks = grid(boxes, 30, f"1 1 {'220px' if len(boxes) <= IN_COLUMN else '100%'}")
        rows = [row(face, strength, reset, *[others] * bool(hidden)), row(photo, decoded, ticks)]
    return explorer.of(*rows)
