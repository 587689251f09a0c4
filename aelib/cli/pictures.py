"""Verbs that draw pictures: sample, reconstruct, interpolate."""

from __future__ import annotations

from typing import Literal


def sample(run: str, n: int = 64, out: str = "", seed: int = 0, zoom: int = 0, which: str = "best") -> None:
    """Draw pictures from the prior, as a grid.

    A plain autoencoder has no prior: a Gaussian fitted to the codes of its training pictures stands in.

    Args:
        run: folder of the run.
        n: how many.
        out: a .png, replaced if it is there; samples.png in the run's folder by default.
        seed: of the draw.
        zoom: each pixel becomes a square of so many; chosen by the picture's size by default.
        which: checkpoint: best, last, or a name.
    """
    from .opening import model_of, pictures, samples, target, write_png

    if n < 1:
        raise ValueError(f"--n is at least 1; got {n}")
    file, model = target(out, f"{run}/samples.png", ".png"), model_of(run, which)
    drawn, prior = samples(model, lambda: pictures(run, model), n, seed)
    write_png(file, drawn, max(1, round(n**0.5)), zoom)
    print(f"{file}: {n} samples of {prior}")


def reconstruct(run: str, photos: list[str], out: str = "", zoom: int = 0, which: str = "best") -> None:
    """Draw photos above, and what the model makes of them below.

    Args:
        run: folder of the run.
        photos: image files of any format and size; the largest square in the middle is taken.
        out: a .png, replaced if it is there; reconstructions.png in the run's folder by default.
        zoom: each pixel becomes a square of so many; chosen by the picture's size by default.
        which: checkpoint: best, last, or a name.
    """
    import torch

    from .opening import model_of, read, target, write_png

    file, model = target(out, f"{run}/reconstructions.png", ".png", photos), model_of(run, which)
    x = read(photos, model)
    write_png(file, torch.cat([x, model.reconstruct(x.to(model.device)).cpu()]), len(x), zoom)
    print(f"{file}: {len(x)} photos above, their reconstructions below")


def interpolate(
    run: str, first: str, second: str, steps: int = 9, kind: Literal["linear", "spherical"] = "linear",
    out: str = "", zoom: int = 0, which: str = "best",
) -> None:  # fmt: skip
    """Draw the way from one photo to another, through the codes between theirs.

    Args:
        run: folder of the run.
        first: image file at the left.
        second: image file at the right.
        steps: pictures in the row, at least 2.
        kind: of the way: a straight line, or an arc that keeps the code's length.
        out: a .png, replaced if it is there; interpolation.png in the run's folder by default.
        zoom: each pixel becomes a square of so many; chosen by the picture's size by default.
        which: checkpoint: best, last, or a name.
    """
    import torch

    from .. import latent
    from .opening import model_of, read, target, write_png

    if steps < 2:
        raise ValueError(f"--steps is at least 2; got {steps}")
    file, model = target(out, f"{run}/interpolation.png", ".png", [first, second]), model_of(run, which)
    with torch.no_grad():
        ends = model.encode(read([first, second], model).to(model.device)).mean.cpu()
    a, b = ends.flatten(1)
    way = latent.interpolate(a, b, torch.linspace(0, 1, steps), kind)
    write_png(file, latent.decode(model, way.reshape(steps, *ends.shape[1:])), steps, zoom)
    print(f"{file}: {first} → {second} in {steps} steps, {kind}")
