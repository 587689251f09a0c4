"""What page 13 alone has: one-class rounds, heart beats, strangers, an explorer of a threshold."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import course
import ipywidgets as widgets
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from aelib import losses, models, plots, runs, training
from aelib.contexts import seeded
from aelib.datasets import Examples, Images, Split
from aelib.explorers.widgets import Explorer, Panel, row
from aelib.models import Autoencoder
from aelib.outliers import Scores

CODE, EPOCHS = 16, 15  # of a model of one class; the first was chosen on validation pictures, see page 13
HIDDEN = {"mlp": (512, 256), "conv": (16, 32, 64)}
COMPONENTS, NEIGHBOURS = 32, 1  # of PCA and of nearest neighbours, chosen on the same pictures


def two_sets(quick: int = 1600) -> tuple[Split, Split]:
    """Digits and clothes, of one shape. Without the real data: small digits, and the same in negative."""
    digits = course.data("mnist", otherwise="digits", quick=quick)
    clothes = course.data("fashion-mnist", otherwise="digits", quick=quick)
    if clothes.name == "digits":
        parts = {part: negative(getattr(clothes, part)) for part in ("train", "valid", "test")}
        clothes = replace(clothes, **parts, name="digits in negative")
    return digits, clothes


def negative(data: Images) -> Images:
    """White for black."""
    return Images(255 - data.pixels, data.labels, data.classes)


def black_and_white(data: Images) -> Images:
    """What is at least half white becomes white, all else black."""
    return Images(np.where(data.pixels >= 128, 255, 0).astype(np.uint8), data.labels, data.classes)


def rows(data: Examples) -> np.ndarray:
    """(N, D) float32, as scikit-learn reads them: what a batch holds, from 0 to 1 for pictures."""
    return data.batch().x.flatten(1).numpy()


def model_of(
    train: Examples, latent: int = CODE, *, epochs: int = EPOCHS, seed: int = 0, **recipe: Any
) -> Autoencoder:
    """A trained VAE with one σ that is learnt, or what else the recipe of `models.autoencoder` says."""
    recipe = {"net": "mlp", "likelihood": "gaussian-learnt"} | recipe
    recipe["hidden"] = HIDDEN[recipe["net"]]
    with seeded(seed):
        model = models.autoencoder(train.shape, latent, **recipe)
    objective = losses.elbo if model.prior else losses.reconstruction
    schedule = {"lr": training.cosine()}
    runs.fit(model, train, objective, training.adam(model), epochs=epochs, schedule=schedule, seed=seed)
    return model.cpu()


def beside(train: Examples, data: Examples) -> dict[str, np.ndarray]:
    """Scores (N,) of methods that know no autoencoder: PCA's residual, an isolation forest, neighbours."""
    from sklearn.decomposition import PCA
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import NearestNeighbors

    a, x = rows(train), rows(data)
    pca = PCA(min(COMPONENTS, *a.shape)).fit(a)
    forest = IsolationForest(random_state=0).fit(a)
    near = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(a)
    return {
        "PCA's residual": np.square(x - pca.inverse_transform(pca.transform(x))).mean(1),
        "IsolationForest": -forest.score_samples(x),
        "k-NN on pixels": near.kneighbors(x)[0][:, -1].copy(),
    }


def of_class(data: Images, k: int, among: bool = True) -> Images:
    """The pictures of class k, or of all others."""
    return data[(data.labels == k) == among]


def one_class(split: Split, k: int, names: Sequence[str], seed: int = 0, **options: Any) -> dict[str, Tensor]:
    """Scores, by their names, of the test pictures of all classes to a model of class k."""
    train, valid = of_class(split.train, k), of_class(split.valid, k)
    scores = Scores(model_of(train, seed=seed, **options), train, valid)
    return {name: scores(split.test, name) for name in names}


def contaminated(data: Images, k: int, share: float, seed: int = 0) -> Images:
    """The pictures of class k, of which so large a share was replaced by pictures of other classes."""
    rng = np.random.default_rng(seed)
    mine, others = np.flatnonzero(data.labels == k), np.flatnonzero(data.labels != k)
    n = round(share * len(mine))
    return data[np.concatenate([mine[n:], rng.choice(others, n, replace=False)])]


def with_a_hole(data: Images, seed: int) -> np.ndarray:
    """(N, C, H, W) float32 pictures, NaN in a square of two fifths of the smaller side, at a random place."""
    x, rng = data.batch().x.numpy().copy(), np.random.default_rng(seed)
    side = 2 * min(x.shape[2:]) // 5
    for picture in x:
        top, left = (rng.integers(0, size - side + 1) for size in picture.shape[1:])
        picture[:, top : top + side, left : left + side] = np.nan
    return x


# ---- a series ---------------------------------------------------------------------------------------------

TIME = np.linspace(0, 1, 128)
WAVES = {  # of a beat: when, how long (a standard deviation), how high
    "P": (0.22, 0.025, 0.15), "Q": (0.36, 0.010, -0.12), "R": (0.40, 0.012, 1.0), "S": (0.44, 0.012, -0.25),
    "T": (0.66, 0.045, 0.30),
}  # fmt: skip
WRONG = ("no P wave", "T upside down", "wide R", "early", "an echo")


def beats(n: int, seed: int, wrong: float = 0.0) -> tuple[Examples, np.ndarray]:
    """(n, 1, 128) heart beats as sums of five waves, and (n,) what is wrong: 0 nothing, else `WRONG`[i − 1].

    Every wave's time, length and height vary a little, and there is noise. They are cartoons: no patient.
    """
    rng = np.random.default_rng(seed)
    kind = np.where(rng.random(n) < wrong, rng.integers(1, len(WRONG) + 1, n), 0)
    x = 0.02 * rng.normal(size=(n, len(TIME)))
    for name, (when, long, high) in WAVES.items():
        when = when + 0.008 * rng.normal(size=n) - 0.12 * ((kind == 4) & (name in "QRS"))
        long = long * np.exp(0.08 * rng.normal(size=n)) * np.where((kind == 3) & (name in "QRS"), 2.5, 1.0)
        high = high * np.exp(0.15 * rng.normal(size=n))
        high = high * np.where((kind == 1) & (name == "P"), 0, np.where((kind == 2) & (name == "T"), -1, 1))
        x += high[:, None] * np.exp(-0.5 * ((TIME - when[:, None]) / long[:, None]) ** 2)
        if name == "P":
            x += (kind == 5)[:, None] * high[:, None] * np.exp(-0.5 * ((TIME - 0.88) / 0.02) ** 2)
    return Examples(x[:, None].astype(np.float32)), kind


# ---- strangers among photos -------------------------------------------------------------------------------

STRANGERS = (
    "brick",
    "camera",
    "chelsea",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "moon",
    "rocket",
)


def folder_with_strangers(faces: Images, folder: Path) -> Path:
    """Writes the faces as face-0000.png …, and ten pictures that ship inside scikit-image among them."""
    import skimage.data

    for i, face in enumerate(faces.pixels):
        Image.fromarray(face.transpose(1, 2, 0)).save(folder / f"face-{i:04d}.png")
    size = faces.shape[1:]
    for name in STRANGERS:
        a = getattr(skimage.data, name)()
        side = min(a.shape[:2])
        Image.fromarray(a[:side, :side]).convert("RGB").resize(size[::-1]).save(folder / f"{name}.png")
    return folder


# ---- an explorer of the threshold -------------------------------------------------------------------------


def sides(scores: Tensor, strange: np.ndarray, value: float, n: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the two kinds of mistakes: up to n false alarms, and n strange ones that are missed.

    Of each the worst come first: the normal ones with the largest score, the strange ones with the smallest.
    """
    s, strange = np.asarray(scores), np.asarray(strange, bool)
    alarms, missed = np.flatnonzero(~strange & (s > value)), np.flatnonzero(strange & (s <= value))
    return alarms[np.argsort(-s[alarms])][:n], missed[np.argsort(s[missed])][:n]


def histograms(scores: Tensor, strange: np.ndarray, value: float) -> plots.Picture:
    """The scores of normal and strange examples, and a threshold; shares of both above it in the title."""
    s, strange = np.asarray(scores), np.asarray(strange, bool)
    figure, ((ax,),) = plots.axes(1, 1, (5.4, 2.4))
    low = max(s[s > 0].min(initial=1.0), s.max() * 1e-6)
    bins = np.geomspace(low, s.max(), 60) if s.min() > 0 else np.linspace(s.min(), s.max(), 60)
    for name, these, colour in (("normal", ~strange, "C0"), ("strange", strange, "C3")):
        ax.hist(s[these], bins, density=True, color=colour, alpha=0.55, label=name)
    ax.axvline(value, color="black")
    caught, alarms = (s[strange] > value).mean(), (s[~strange] > value).mean()
    ax.set(xlabel="score", yticks=[], xscale="log" if s.min() > 0 else "linear")
    ax.set_title(f"above the threshold: {alarms:.1%} of the normal, {caught:.1%} of the strange", fontsize=9)
    ax.legend()
    return figure


def thresholds_images(
    scores: Tensor, strange: np.ndarray, pictures: plots.Pictures, value: float, n: int = 8
) -> dict[str, plots.Pictures]:
    """Name → (n, C, H, W): pictures on the wrong side of a threshold; white where there are fewer."""
    x = torch.as_tensor(np.asarray(pictures))
    x = x.float() / 255 if x.dtype == torch.uint8 else x
    white = torch.ones(n, *x.shape[1:])
    found = zip(("false alarms", "missed"), sides(scores, strange, value, n), strict=True)
    return {name: torch.cat([x[torch.from_numpy(rows)], white])[:n] for name, rows in found}


def thresholds(scores: Tensor, strange: np.ndarray, pictures: plots.Pictures, valid: Tensor) -> Explorer:
    """Move the rate of false alarms that is asked for; see the threshold, and who is on the wrong side of it.

    Args:
        scores: (N,) of examples whose kind is known.
        strange: (N,) True for what does not belong.
        pictures: (N, C, H, W) of them.
        valid: (M,) scores of normal examples alone, which the threshold is taken from.

    ValueError if the lengths differ, or no validation scores are given.
    """
    if not len(scores) == len(strange) == len(pictures) or not len(valid):
        counts = f"{len(scores)} scores, {len(strange)} labels, {len(pictures)} pictures, {len(valid)} valid"
        raise ValueError(f"need one label and one picture per score, and validation scores; got {counts}")
    usual = np.sort(np.asarray(valid))
    rate = widgets.FloatLogSlider(
        0.05, base=10, min=-3, max=-0.01, step=0.05, description="rate", readout_format=".3f"
    )
    chart, alarms, missed = Panel("", side=1), Panel("false alarms", side=448), Panel("missed", side=448)

    def draw() -> None:
        value = float(np.quantile(usual, 1 - rate.value))
        figure = histograms(scores, strange, value)
        picture = np.asarray(Image.open(BytesIO(figure._repr_png_()[0])).convert("RGB"))
        chart.show(picture.transpose(2, 0, 1)[None])
        found: Mapping[str, Any] = thresholds_images(scores, strange, pictures, value)
        for name, panel in (("false alarms", alarms), ("missed", missed)):
            panel.show(plots.tile(found[name], columns=8).transpose(2, 0, 1)[None])

    explorer = Explorer("thresholds", draw, rate)
    return explorer.of(row(rate), row(chart), row(alarms, missed))
