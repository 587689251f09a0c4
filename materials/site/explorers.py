"""The explorers of the site: those of the course's own models, with people whom these models invent.

A page on the web shows no photo of anybody: codes are sampled, and what stands for the photo is decoded.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from sphinx.application import Sphinx

from aelib import explorers, latent, load, pretrained
from aelib.explorers import page
from aelib.explorers.widgets import Explorer
from aelib.models import Autoencoder

FOLDER = "_static/explorers"
PEOPLE = 24
SAID = {  # under an explorer, and in the place of one whose model its page trains
    "here": "It moves in your browser, which fetches the model at your first touch. The people are invented.",
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


# page → model and explorer of each of its widgets, in their order; None: of what the page trains
PLACES: dict[str, list[tuple[str, Callable[[], Explorer]] | None]] = {
    "00": [("vae-lfw", start_here), None],
    "01": [("ae-lfw", smile)],
    "03": [None, ("vae-lfw", way), ("vae-lfw", coordinates)],
    "04": [None, ("cvae-lfw", editor)],
}


def place(number: str, k: int) -> str:
    """What stands on a page in the place of its k-th widget."""
    entry = (PLACES.get(number, []) + [None] * 9)[k]
    if entry is None:
        return f'<p class="explorer-away">{SAID["there"]}</p>'
    return (
        f'<div class="explorer" data-explorer="../{FOLDER}/{number}-{k}.safetensors" '
        f'data-runtime="../_static/vendor/ort/"></div><p class="explorer-said">{SAID["here"]}</p>'
        '<script type="module" src="../_static/viewer.js"></script>'
    )


def write(app: Sphinx) -> None:
    """Write what each explorer reads, and each model once, if they are older than what makes them."""
    folder = Path(app.outdir, FOLDER)
    made_of = [Path(__file__), *pretrained.FOLDER.glob("*-lfw*")]
    made_of += Path(explorers.__file__).parent.glob("*.py")
    newest = max(file.stat().st_mtime for file in made_of)
    for number, entries in PLACES.items():
        for k, entry in enumerate(entries):
            file = folder / f"{number}-{k}.safetensors"
            if entry is None or (file.exists() and file.stat().st_mtime > newest):
                continue
            name, make = entry
            explorer = make()
            folder.mkdir(parents=True, exist_ok=True)
            model = folder / f"{name}.onnx"
            if not model.exists() or model.stat().st_mtime < newest:
                model.write_bytes(halved(page.decoder(explorer.name, explorer.parts)))
            file.write_bytes(page.described(explorer.name, explorer.parts, address=model.name))


def halved(file: bytes) -> bytes:
    """An ONNX file with its weights in half precision, cast to single before all else: half the size."""
    import onnx

    model = onnx.load_from_string(file)
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype == "float32":
            name = weight.name
            weight.CopyFrom(onnx.numpy_helper.from_array(values.astype("float16"), f"{name}_half"))
            cast = onnx.helper.make_node("Cast", [weight.name], [name], to=onnx.TensorProto.FLOAT)
            model.graph.node.insert(0, cast)
    return model.SerializeToString()
