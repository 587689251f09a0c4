"""What page 14 alone has: bits shared out, tokens, their files, what is left out of a JPEG and a WebP."""

import builtins
import io
import math

import filing
import numpy as np
import pytest
import tokenising
import torch
from PIL import Image
from scipy.optimize import brentq
from sklearn.decomposition import PCA

from aelib import datasets, heads
from aelib.datasets import Images

VARIANCE = torch.logspace(3, -2, 60)


@pytest.fixture(scope="module")
def faces():
    return datasets.load("drawn-faces", size=16).head(200)


@pytest.fixture(scope="module")
def rotation(faces):
    return tokenising.Rotation(faces.train, 12)


def test_the_rotation_is_pca_and_keeps_distances(faces, rotation):
    x = faces.train.batch().x
    pca = PCA(12, svd_solver="full").fit(x.flatten(1).numpy())
    loss = (x.flatten(1) - (rotation(x) @ rotation.v.T + rotation.mean)).square().sum(1).mean().item()
    best = np.square(pca.inverse_transform(pca.transform(x.flatten(1))) - x.flatten(1).numpy()).sum(1).mean()
    assert loss == pytest.approx(best, rel=0.02)
    a, b = torch.randn(2, 3, 12)
    apart = ((a - b) @ rotation.v.T).norm(dim=1)
    torch.testing.assert_close(apart, (a - b).norm(dim=1), rtol=1e-4, atol=1e-4)
    assert rotation.back(rotation(x[:2])).shape == x[:2].shape


def test_mirrored_pictures_follow_the_others():
    data = Images(np.arange(12, dtype=np.uint8).reshape(2, 1, 2, 3))
    both = tokenising.mirrored(data).pixels
    assert len(both) == 4 and both[2, 0, 0].tolist() == [2, 1, 0] and (both[:2] == data.pixels).all()


@pytest.mark.parametrize("tokens", [4, 10, 30])
def test_every_token_carries_as_many_bits_and_together_they_cost_what_was_asked(tokens):
    sizes, bits = tokenising.shared_out(VARIANCE, tokens, 4.0), 4.0
    assert len(sizes) == tokens and min(sizes) >= 1 and sum(sizes) <= len(VARIANCE)
    v = VARIANCE.double().numpy()

    def over(log_m):
        return (0.5 * np.log2(v / np.exp(log_m)).clip(0)).sum() - tokens * bits

    m = math.exp(brentq(over, -40, 7))
    assert sum(sizes) == (v > m).sum()
    cost = np.split(0.5 * np.log2(v[: sum(sizes)] / m), np.cumsum(sizes)[:-1])
    largest = 0.5 * np.log2(v[0] / m)
    assert all(abs(c.sum() - bits) <= largest for c in cost)
    assert sizes[-1] > sizes[0]  # the first numbers have the most to say


def test_a_token_has_a_number_of_its_own_even_where_one_has_more_bits_than_a_token():
    assert tokenising.shared_out(torch.tensor([1e12, 1.0, 1.0, 1.0]), 3, 2.0) == [1, 1, 1]
    with pytest.raises(ValueError, match="at least as many numbers"):
        tokenising.shared_out(VARIANCE[:3], 4, 8.0)


def test_codebooks_are_the_librarys_quantisers_side_by_side():
    head = tokenising.Codebooks([2, 1, 3], words=8).eval()
    h = torch.randn(5, 6)
    q = head(h)
    for i, (part, quantizer) in enumerate(zip(h.split([2, 1, 3], 1), head.each, strict=True)):
        assert isinstance(quantizer, heads.VectorQuantizer)
        nearest = torch.cdist(part, quantizer.codebook).argmin(1)
        assert q.indices[:, i].tolist() == nearest.tolist()
    torch.testing.assert_close(head.vectors(q.indices), q.mean)
    torch.testing.assert_close(q.commitment, (h - q.mean).square().sum(1))
    head.remember(20, 2)
    assert head.each[0].decay == pytest.approx(math.exp(-2 / 8 / 20))


def test_levels_go_to_the_widest_steps_and_fit_into_a_byte():
    assert tokenising.levels_of(torch.tensor([1.0, 1.0])).tolist() == [16, 16]
    assert tokenising.levels_of(torch.tensor([5.0])).tolist() == [256]
    levels = tokenising.levels_of(torch.tensor([8.0, 1.0]))
    assert levels.prod() <= 256 and levels[0] > 4 * levels[1]
    assert tokenising.levels_of(torch.ones(30)).prod() == 256  # eight of them have two


def cut(h, levels):
    value = ((h.tanh() + 1) / 2 * levels).floor().minimum(levels - 1)
    return (value + 0.5) / levels * 2 - 1


def test_finite_scalars_have_a_token_for_every_combination():
    head = tokenising.Levels(cut, [2, 1], torch.tensor([1.0, 2.0, 1.0]), words=8)
    q = head(3 * torch.randn(4000, 3))
    assert q.indices.min() == 0 and q.indices.max() == 7 and q.commitment.sum() == 0
    for token in range(8):  # the same token is the same code
        assert len(torch.unique(q.mean[q.indices[:, 0] == token, :2], dim=0)) == 1
    assert len(torch.unique(q.mean[:, :2], dim=0)) == len(torch.unique(q.indices[:, 0]))


def test_a_tokeniser_learns_and_is_decoded_from_its_tokens_alone(faces, rotation):
    numbers = rotation(faces.train.batch().x)
    sizes = tokenising.shared_out(rotation.scale.square(), 3, 4.0)
    model = tokenising.tokeniser(rotation.scale, tokenising.Codebooks(sizes, 16), 8)
    x = faces.valid.batch().x
    tokenising.settled(model, numbers, 4)
    tokens = tokenising.tokens_of(model, rotation(x))
    before = tokenising.error(model, rotation, x)
    tokenising.decoding(model, numbers, 3)
    assert torch.equal(tokens, tokenising.tokens_of(model, rotation(x)))  # the decoder alone learnt
    assert tokenising.error(model, rotation, x) != before
    assert tokens.shape == (len(x), 3) and tokens.max() < 16
    decoded = tokenising.from_tokens(model, rotation, tokens)
    error = (decoded - x).square().mean().item()
    assert error == pytest.approx(tokenising.error(model, rotation, x), rel=1e-4)
    assert error < 0.8 * (x - x.mean(0)).square().mean().item()
    mixed = tokenising.swapped(model, rotation, tokens[:1], tokens[1:2], 3)
    torch.testing.assert_close(mixed, decoded[:1])
    assert not model.encoder[0].net[2].weight.any()  # it began by correcting nothing
    tokenising.jointly(model, numbers, 2)
    assert model.encoder[0].net[2].weight.any()


def following(before):
    """The word 2 after every 1; else all alike, with what came before in it."""
    logits = torch.zeros(8) + 1e-3 * before.sum()
    logits[2] += 6.0 * (before.shape[1] > 0 and before[0, -1] == 1)
    return logits


def test_a_file_comes_back_bit_by_bit_and_is_as_long_as_predicted():
    rng = np.random.default_rng(0)
    predicted, written = [], []
    for _ in range(20):
        tokens = [1, 2] * 20 + rng.integers(0, 8, 40).tolist()
        data = filing.write(tokens, following)
        assert isinstance(data, bytes) and filing.read(data, len(tokens), following) == tokens
        shares = [following(torch.tensor([tokens[:n]]).long()).softmax(-1) for n in range(len(tokens))]
        predicted.append(-sum(math.log2(p[t]) for p, t in zip(shares, tokens, strict=True)) / 8)
        written.append(len(data))
    more = np.subtract(written, predicted)  # of one file it can be a little below 0, as files are whole bytes
    assert (abs(more) < 1.5).all() and 0 < more.mean() < 1


def test_a_file_of_the_wrong_reader_is_another_text():
    tokens = [1, 2, 1, 2, 5, 7]
    data = filing.write(tokens, following)
    try:
        assert filing.read(data, 6, lambda before: torch.arange(8.0)) != tokens
    except ValueError as e:
        assert "another prior" in str(e)


def test_who_has_no_coder_is_told_how_to_get_it(monkeypatch):
    load = builtins.__import__

    def without(name, *rest):
        if name == "constriction":
            raise ImportError(name)
        return load(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="pip install"):
        filing.write([1], following)


@pytest.mark.parametrize("kind", ["JPEG", "WebP"])
def test_what_is_the_same_in_all_files_is_left_out_and_nothing_else(kind):
    pixels = datasets.load("drawn-faces", size=32).train.pixels[:12]
    files = [filing.file_of(p, kind, 30) for p in pixels]
    own = filing.own_bytes(files, kind)
    assert (own > 0).all() and (own < [len(f) for f in files]).all()
    assert len(set(np.array([len(f) for f in files]) - own)) == 1  # as many of every file
    left_out = len(files[0]) - own[0]
    assert left_out > (600 if kind == "JPEG" else 25)
    for file, picture in zip(files, pixels, strict=True):
        opened = np.asarray(Image.open(io.BytesIO(file)).convert("RGB")).transpose(2, 0, 1) / 255.0
        assert np.square(opened - picture / 255.0).mean() < 0.03


def test_equal_files_have_no_bytes_of_their_own_and_a_curve_falls():
    assert filing.own_bytes([b"abcde", b"abXde"], "JPEG").tolist() == [1, 1]
    assert filing.own_bytes([b"abcde", b"abcde"], "JPEG").tolist() == [0, 0]
    pixels = datasets.load("drawn-faces", size=32).train.pixels[:6]
    table = filing.curve(pixels, "JPEG", (5, 20, 60))
    assert (np.diff(table["bytes"]) > 0).all() and (np.diff(table["mse"]) < 0).all()
    middle = filing.at_bytes(table, "mse", table["bytes"][:2].mean())
    assert middle == pytest.approx(table["mse"][:2].mean())
    assert math.isnan(filing.at_bytes(table, "mse", 1.0))


def test_a_net_learns_what_follows():
    tokens = torch.arange(4).repeat(200, 2)[torch.arange(200)[:, None], torch.arange(8)]
    table = torch.nn.Parameter(torch.zeros(4, 4))
    net = torch.nn.ParameterList([table])
    start = torch.zeros(200, 1, 4)

    def logits(t):
        return torch.cat([start[: len(t)], table[t[:, :-1]]], 1)

    history = tokenising.fit_words(net, logits, tokens, 200)
    assert history[0] == pytest.approx(2.0, abs=0.1) and history[-1] < 1.5


def test_the_explorer_mixes_the_tokens_of_two_faces(faces, rotation):
    sizes = tokenising.shared_out(rotation.scale.square(), 3, 4.0)
    model = tokenising.tokeniser(rotation.scale, tokenising.Codebooks(sizes, 16), 8).eval()
    widget = tokenising.swapping(model, rotation, faces.valid.batch().x)
    kept = widget.children[0].children[2]
    before = widget.children[1].children[1].image.value
    kept.value = 0
    assert widget.message.value == "" and widget.children[1].children[1].image.value != before
