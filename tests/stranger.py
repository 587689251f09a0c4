"""What a user does with the library, from the first import to a search among photos; see test_machines.py.

`python stranger.py RUN` works in the current folder and ends with the word "whole".
"""

import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import aelib
from aelib import cli, datasets, fit, losses, models

RUN = sys.argv[1]


def call(*words):
    """The exit code of a verb of the command line."""
    try:
        cli.main(list(words))
    except SystemExit as e:
        return e.code
    return 0


def must(right, what):  # no assert: this runs with -O too
    if not right:
        sys.exit(f"stranger.py: {what}")


digits = datasets.load("digits")
print(digits)
model = models.autoencoder(digits.shape, 2, net="mlp", hidden=(8,))
print(fit(model, digits.train[:64], losses.elbo, epochs=1, valid=digits.valid))
for epochs in (1, 2):  # the second call goes on where the first ended
    history = fit(model, digits.train[:64], losses.elbo, epochs=epochs, run=RUN)
must(len(history) == 2, f"the run has {len(history)} epochs, not 2")
x = digits.test.batch().x
must(
    (aelib.load(RUN, which="last").encode(x).mean == model.eval().encode(x).mean).all(),
    "another model came back",
)
must(aelib.load("pretrained/vae-mnist").sample(2).shape == (2, 1, 28, 28), "no pretrained model")

SMALL = ("--latent", "3", "--net", "mlp", "--hidden", "[16]", "--epochs", "1")
verbs = [("train", "digits", *SMALL, "--out", "runs/digits"), ("report", "runs/digits")]
verbs += [("--help",), ("train", "--help"), ("datasets",)]
for words in verbs:
    must(call(*words) == 0, f"aelib {' '.join(words)} did not do it")
must((Path("runs/digits/report.html")).stat().st_size > 10_000, "an empty report")
must(call("train", "digits", "--latent", "-1", "--out", "runs/wrong") == 1, "a latent of −1 was taken")

Path("photos").mkdir()
rng = np.random.default_rng(0)
for i in range(20):  # their names are bytes: some in UTF-8, one as Latin-1 has it
    name = b"caf\xe9 0.png" if i == 0 else f"é{i}.png".encode()
    with open(b"photos/" + name, "wb") as file:
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(file, "png")
if not os.access(os.path.expanduser("~"), os.W_OK):
    try:
        datasets.load("folder", path="photos", size=16)
        sys.exit("stranger.py: photos were decoded, and nobody knows where to")
    except datasets.DataError as e:
        must("Set AELIB_CACHE to a folder that can" in str(e), f"no help in: {e}")
    os.environ["AELIB_CACHE"] = os.path.abspath("cache")
must(call("train", "photos", "--size", "16", *SMALL, "--out", "runs/photos") == 0, "no training on photos")
for folder in Path(os.environ.get("AELIB_CACHE", "none")).glob("**/"):
    folder.chmod(0o555)  # what is in the cache is read without a right to write
must(call("index", "runs/photos") == 0, "no index")
query = os.fsdecode(b"photos/caf\xe9 0.png")
must(call("search", "runs/photos", query, "--k", "3", "--out", "found.png") == 0, "no search")

import umap  # noqa: E402, F401  # it looks for a place for what it compiles, when it is imported

readable = [path for path in Path().rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
must(not readable or os.umask(0o077) != 0o077, f"others may read {readable[:3]}, against the umask")
print("whole")
