"""The explorers of the site: of the course's own models, and of models that pages train.

The first are made here. A page on the web shows no photo of anybody: of models of people codes are sampled,
and what stands for the photo is decoded. The second are kept when a page is run (`notebooks/exploring.py`):
some of those of digits, clothes and cartoon faces.
"""

import html
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import exploring
import torch
from safetensors import safe_open
from sphinx.application import Sphinx

from aelib import explorers, latent, load, pretrained
from aelib.explorers import page
from aelib.explorers.widgets import Explorer
from aelib.models import Autoencoder

FOLDER = "_static/explorers"
PEOPLE = 24
SAID = {  # under an explorer, and in the place of one that is not on the site
    "here": "It moves in your browser, which fetches the model at your first touch. The people are invented.",
    "kept": "It moves in your browser, which fetches the model that this page trained at your first touch.",
    "frames": "It moves in your browser. Kept is what Python showed at {}.",
    "there": "Here is an explorer of what this page trains. It moves where the page runs.",
}


def invented() -> tuple[torch.Tensor, torch.Tensor]:
    """Codes (N, 64) of the VAE, sampled as on page 00, and the people (N, 3, 64, 64) that they decode to."""
    artist = load("pretrained/vae-lfw", device="cpu")
    torch.manual_seed(2)
    z = artist.prior().sample((PEOPLE,))
    return z, latent.decode(artist, z)


@torch.no_grad()
def seen_by(name: str, c: torch.Tensor | None = None) -> tuple[Autoencoder, torch.Tensor, torch.Tensor]:
    """A face model, the codes (N, K) that it gives to these people, and the people."""
    model, (_, pictures) = load(f"pretrained/{name}", device="cpu"), invented()
    return model, model.encode(pictures, c).mean, pictures


def start_here() -> Explorer:
    """Page 00: a slider that puts on a smile."""
    vectors, drawn = pretrained.directions("vae-lfw"), pretrained.drawn("vae-lfw")
    vectors = {name: vectors[name] for name in sorted(drawn, key=drawn.__getitem__, reverse=True)}
    return explorers.attributes(load("pretrained/vae-lfw", device="cpu"), *invented(), vectors, drawn)


def smile() -> Explorer:
    """Page 01: the same, of a plain autoencoder."""
    return explorers.attributes(*seen_by("ae-lfw"), pretrained.directions("ae-lfw"))


def way() -> Explorer:
    """Page 03: from one person to another."""
    return explorers.interpolation(*seen_by("vae-lfw"))


def coordinates() -> Explorer:
    """Page 03: along the directions of most variance, and along attributes."""
    wanted = ("Smiling", "Male", "Eyeglasses", "Mouth Slightly Open", "Blond Hair", "Beard")
    directions = pretrained.directions("vae-lfw")
    some = {name: directions[name] for name in wanted if name in directions}
    return explorers.latent_space(*seen_by("vae-lfw"), some)


def editor() -> Explorer:
    """Page 04: another condition for the same person.

    An attribute is a person's own where the VAE's code lies a standard deviation along its direction.
    """
    (z, _), directions, names = invented(), pretrained.directions("vae-lfw"), pretrained.CONDITIONS
    v = torch.stack([directions[name] for name in names])
    c = 2 * (z @ v.T > v.square().sum(1)).float() - 1
    return explorers.conditional(*seen_by("cvae-lfw", c), c, names, pretrained.drawn("cvae-lfw"))


# page → model and explorer of each of its widgets, in their order; None: what the page kept, if it did
PLACES: dict[str, list[tuple[str, Callable[[], Explorer]] | None]] = {
    "00": [("vae-lfw", start_here), None],
    "01": [("ae-lfw", smile)],
    "03": [None, ("vae-lfw", way), ("vae-lfw", coordinates)],
    "04": [None, ("cvae-lfw", editor)],
}


def place(number: str, k: int) -> str:
    """What stands on a page in the place of its k-th widget."""
    entry = (PLACES.get(number, []) + [None] * 9)[k]
    if entry is None and not (exploring.FOLDER / f"{number}-{k}.safetensors").exists():
        return f'<p class="explorer-away">{SAID["there"]}</p>'
    said = SAID["here"] if entry is not None else said_of(exploring.FOLDER / f"{number}-{k}.safetensors")
    return (
        f'<div class="explorer" data-explorer="../{FOLDER}/{number}-{k}.safetensors" '
        f'data-runtime="../_static/vendor/ort/"></div><p class="explorer-said">{said}</p>'
        '<script type="module" src="../_static/viewer.js"></script>'
    )


def said_of(file: Path) -> str:
    """What stands under an explorer that a page kept."""
    with safe_open(file, "np") as opened:
        words = json.loads(opened.metadata()["words"])
    return SAID["frames" if "note" in words else "kept"].format(html.escape(words.get("note", "")))


def write(app: Sphinx) -> None:
    """Write what each explorer reads, and each model once, if they are older than what makes them."""
    folder = Path(app.outdir, FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    for file in exploring.FOLDER.glob("*-*.*"):
        shutil.copy(file, folder / file.name)
    made_of = [Path(__file__), Path(exploring.__file__), *pretrained.FOLDER.glob("*-lfw*")]
    made_of += Path(explorers.__file__).parent.glob("*.py")
    newest = max(file.stat().st_mtime for file in made_of)
    for number, entries in PLACES.items():
        for k, entry in enumerate(entries):
            file = folder / f"{number}-{k}.safetensors"
            if entry is None or (file.exists() and file.stat().st_mtime > newest):
                continue
            name, make = entry
            explorer = make()
            model = folder / f"{name}.onnx"
            if not model.exists() or model.stat().st_mtime < newest:
                model.write_bytes(exploring.halved(page.decoder(explorer.name, explorer.parts)))
            file.write_bytes(page.described(explorer.name, explorer.parts, address=model.name))
