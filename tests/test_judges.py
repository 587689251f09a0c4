"""The judges, on drawn faces: an ideal editor draws the same face again with one attribute changed."""

from dataclasses import replace

import judges
import numpy as np
import pytest
import torch

from aelib import datasets
from aelib.datasets import drawn

NAMES = ("Smiling", "Wearing Hat", "Blond Hair", "Beard")
FACES = datasets.load("drawn-faces", n=2400, size=32)


@pytest.fixture(scope="module")
def jury():
    return judges.Judges(FACES, NAMES)


@pytest.fixture(scope="module")
def redrawn():
    """Attribute → the test faces without it, and with it; all else is the same, to the last number."""
    pairs = {}
    for name in NAMES:
        with pytest.MonkeyPatch.context() as patch:
            both = []
            for often in (0.0, 1.0):
                patch.setitem(drawn.ATTRIBUTES, name, often)
                both.append(datasets.load("drawn-faces", n=2400, size=32).test.batch().x)
        pairs[name] = both
    return pairs


def test_an_ideal_editor_reaches_what_is_said_of_one(jury, redrawn):
    truth = jury.judged()
    for k, (name, row) in enumerate(jury.edited(jury.photos, lambda k, to: ideal(redrawn, k, to)).items()):
        without, with_ = redrawn[name]
        has = torch.from_numpy(jury.truth[:, k] == 1)[:, None, None, None]
        assert torch.equal(torch.where(has, with_, without), jury.photos), "it is the same face"
        assert row["on"] == pytest.approx(truth[name]["on"], abs=0.2), name
        assert row["off"] == pytest.approx(truth[name]["off"], abs=0.2), name
        assert row["nearest"] > 0.6  # a hat hides much
        assert truth[name]["accuracy"] > truth[name]["commoner"] + 0.1


def ideal(redrawn, k, to):
    without, with_ = redrawn[NAMES[k]]
    return torch.where((to > 0)[:, None, None, None], with_, without)


def test_who_changes_nothing_keeps_everybody_and_obeys_nobody(jury):
    photos = jury.identity(jury.photos)
    assert photos["nearest"] == photos["nearest by pixels"] == 1 and photos["verification"] > 0.8
    for row in jury.edited(jury.photos, lambda k, to: jury.photos).values():
        assert row == {"on": 0, "off": 0, **photos}
    lost = jury.edited(jury.photos.mean(0, keepdim=True).expand_as(jury.photos), lambda k, to: jury.photos)
    assert all(0 < np.nanmean([row["on"], row["off"]]) < 1 for row in lost.values())


def test_who_shows_somebody_else_obeys_and_keeps_nobody(jury):
    """One face for all that wear it, one for all that do not: the editor that lost the person."""

    def one_face(k, to):
        with_, without = (jury.photos[jury.sees(jury.photos)[:, k] == has][:1] for has in (True, False))
        return torch.where((to > 0)[:, None, None, None], with_, without)

    for row in jury.edited(jury.photos, one_face).values():
        assert row["on"] > 0.9 and row["off"] > 0.9  # the halves have a judge each
        assert row["nearest"] < 0.02 and abs(row["verification"] - 0.5) < 0.1


def test_nobody_judges_photos_that_he_learnt_from(jury, monkeypatch):
    learnt = []
    monkeypatch.setattr(judges, "_expert", lambda h, table, names: learnt.append(h))
    judges.Judges(FACES, NAMES)
    for rows, h in zip(jury.halves, learnt, strict=True):
        who = set(FACES.test.labels[rows])
        rest = FACES.test[~np.isin(FACES.test.labels, list(who))]
        others = judges.looked(torch.cat([FACES.valid.batch().x, rest.batch().x]))
        np.testing.assert_allclose(np.sort(h.sum(2)), np.sort(others.sum(2)), rtol=1e-5)


def test_pairs_share_no_person_between_folds_and_halve_evenly():
    who = np.random.default_rng(0).integers(0, 60, 400)
    a, b, same, fold = judges._pairs(who)
    assert (a != b).all() and np.array_equal(who[a] == who[b], same) and same.mean() == 0.5
    folds = [set(who[a[fold == f]]) | set(who[b[fold == f]]) for f in range(judges.FOLDS)]
    assert sum(map(len, folds)) == len(set.union(*folds))


def test_a_fold_is_judged_by_the_threshold_that_is_best_on_the_others():
    rng = np.random.default_rng(0)
    same, fold = rng.random(200) < 0.5, np.arange(200) % 4
    alike = same + rng.normal(size=200)
    right = []
    for f in range(4):
        mine = fold == f
        tried = sorted(alike[~mine], reverse=True)
        best = max(tried, key=lambda t: ((alike >= t) == same)[~mine].mean())
        right.append(((alike >= best) == same)[mine].mean())
    assert judges.verified(alike, same, fold) == pytest.approx(np.mean(right))


def test_what_is_missing_is_named():
    nameless = replace(FACES, test=replace(FACES.test, labels=None, classes=()))
    with pytest.raises(ValueError, match="must know who is on them"):
        judges.Judges(nameless, NAMES)
    bare = (replace(p, attributes=p.attributes.assign(Smiling=0.0)) for p in (FACES.valid, FACES.test))
    with pytest.raises(ValueError, match="to learn 'Smiling' from"):
        judges.Judges(replace(FACES, **dict(zip(("valid", "test"), bare, strict=True))), NAMES)
