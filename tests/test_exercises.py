"""The exercises: each accepts its reference, has a hint for what learners get wrong, and never raises."""

import ast
import functools
import json
from collections import Counter
from pathlib import Path

import check
import numpy as np
import pytest
import torch
from check.asking import Experiment, Prediction
from check.reading import borrowed
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA
from torch import nn

from aelib import losses, models

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
EVERY = list(check.EXERCISES.values())
each = pytest.mark.parametrize("exercise", EVERY, ids=lambda e: e.name)


@pytest.fixture(autouse=True)
def apart(monkeypatch, tmp_path):
    """What is tried here is kept apart, in a file and in memory."""
    monkeypatch.setenv("AELIB_PROGRESS", str(tmp_path / "progress.jsonl"))
    monkeypatch.setattr(check.record, "_HERE", [])
    return tmp_path / "progress.jsonl"


@each
def test_the_reference_passes_and_three_mistakes_get_hints_of_their_own(exercise):
    if exercise.reference is not None:
        assert exercise.verdict(exercise.reference) is None
    assert len(exercise.mistakes) >= 3 and exercise.about and exercise.kind in KINDS
    said = [exercise.verdict(wrong) for wrong in exercise.mistakes.values()]
    for hint, complaint in zip(exercise.mistakes, said, strict=True):
        assert complaint and hint in complaint, (exercise.name, hint, complaint)
    assert len(set(said)) == len(said)


KINDS = ("write", "predict", "debug", "explore")
NONSENSE = [
    None, ..., 3, "x", torch.ones(2), int, nn.Linear, nn.Linear(2, 2), {}, lambda: 1, lambda *a: 1 / 0,
    lambda *a: None, lambda *a: "text", lambda *a: torch.ones(1, 1, 1, 1, 1), lambda *a: a,
    lambda *a: [[1], [1, 2]],
]  # fmt: skip


@each
def test_no_answer_makes_a_check_raise(exercise, capsys):
    given = {Prediction: (0.5,), Experiment: (0.0, 1.0)}.get(type(exercise), ())
    for answer in NONSENSE:
        exercise(answer, *given)
        assert capsys.readouterr().out.startswith(("not yet: ", "correct", "you said"))


def test_every_exercise_belongs_to_a_page_with_a_file():
    for exercise in EVERY:
        assert (NOTEBOOKS / "check" / f"page_{exercise.page}.py").is_file()
    asks = [ast.parse(file.read_text()).body for file in (NOTEBOOKS / "check").glob("page_*.py")]
    names = [f.name for body in asks for f in body if isinstance(f, ast.FunctionDef) and f.decorator_list]
    assert max(Counter(names).values()) == 1, "two pages ask under one name"
    for file in (NOTEBOOKS / "check").glob("*.py"):
        assert len(file.read_text().splitlines()) <= 350, file


def kl(mean, log_var):
    half = 0.5
    return half * (mean**2 + log_var.exp() - 1 - log_var).sum(1)


def test_what_is_not_correct_is_replaced_by_the_courses_version(capsys):
    assert check.kl(kl) is kl
    assert capsys.readouterr().out == "correct\n"
    instead = check.kl(lambda mean, log_var: ...)
    out = capsys.readouterr().out
    assert out.splitlines() == [
        "not yet: your function returns nothing so far", "(the page goes on with the course's version)"
    ]  # fmt: skip
    m, v = torch.randn(2, 4, 3)
    torch.testing.assert_close(instead(m, v), kl(m, v))
    check.kl(instead)
    assert "not yours" in capsys.readouterr().out and not check.passed("kl")


def test_a_class_a_function_a_call_and_a_stub_are_told_apart(capsys):
    class KL:
        pass

    def stub(mean, log_var):
        raise NotImplementedError()

    for answer, says in (
        (KL, "this is a class; a function (`def`) is expected"),
        (torch.ones(5), "this is a Tensor, what a call gives; give the function itself"),
        (stub, "nothing is written there so far"),
        (None, "nothing is written there so far"),
    ):
        check.kl(answer)
        assert says in capsys.readouterr().out


def test_the_learners_line_is_named(capsys):
    def wrong(mean, log_var):
        total = mean.square().sum(1)
        return nn.functional.linear(total, torch.ones(2, 99))  # raises inside of torch

    check.kl(wrong)
    out = capsys.readouterr().out
    assert "raised RuntimeError" in out
    line = next(i for i, s in enumerate(Path(__file__).read_text().splitlines(), 1) if "ones(2, 99))  #" in s)
    assert f"in your line {line}: return nn.functional.linear" in out


def test_a_number_gets_the_expected_one_and_a_factor_is_named(capsys):
    check.beta_of_mean_squared_error(lambda d: d / 3)
    assert "for 784 yours is 261.333, expected 392" in capsys.readouterr().out
    check.squared_error(lambda a, b: 3 * (a - b).flatten(1).square().sum(1))
    assert "every number is 3 times the right one" in capsys.readouterr().out
    check.squared_error(lambda a, b: (a - b).flatten(1).square().sum(1) + 2)
    assert "larger than the right one by 2" in capsys.readouterr().out
    check.squared_error(lambda a, b: (a - b).flatten(1).square().sum(1) / 0)
    assert "not finite" in capsys.readouterr().out


renamed = losses.kl_per_dimension
model = models.autoencoder((1, 4, 4), 2, net="linear")


def test_a_copy_of_a_librarys_call_is_recognised_under_any_name():
    def plain(m, v):
        return losses.kl_per_dimension(m, v)

    def other_name(m, v):
        return renamed(m, v)

    def inside(m, v):
        from aelib.losses import kl_per_dimension as f

        return f(m, v)

    for f in (plain, other_name, inside, losses.kl_per_dimension, functools.partial(losses.elbo, beta=2)):
        assert "write it yourself" in borrowed(f, ("aelib",))
    assert borrowed(kl, ("aelib",)) is None
    assert borrowed(plain, ("sklearn",)) is None

    def an_argument_of_that_name(renamed):
        return renamed + 1

    def a_model(x):
        return model(x)

    assert borrowed(an_argument_of_that_name, ("aelib",)) is None and borrowed(a_model, ("aelib",)) is None

    class Net(nn.Module):
        def forward(self, x):
            return losses.elbo(self, x)

    assert "`losses.elbo`" in borrowed(Net, ("aelib",)) and borrowed(Net, ("sklearn",)) is None


def test_progress_shows_what_is_solved_over_several_kernels(apart, capsys, monkeypatch):
    check.kl(kl)
    check.score(None)
    monkeypatch.setattr(check.record, "_HERE", [])  # another kernel
    with apart.open("a") as out:
        out.write('{"exercise": "sco')  # a line half written
    capsys.readouterr()
    check.progress()
    out = capsys.readouterr().out
    assert "● kl" in out and "◐ score" in out and "○ slerp" in out
    assert f"1 of {len(EVERY)} solved, in 2 tries" in out
    assert [json.loads(line)["said"] for line in apart.read_text().splitlines()[:2]] == [
        "correct", "nothing is written there so far"
    ]  # fmt: skip


def test_where_nothing_can_be_written_progress_lasts_as_long_as_the_kernel(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("AELIB_PROGRESS", str(tmp_path))  # a folder, not a file
    check.kl(kl)
    capsys.readouterr()
    check.progress()
    assert "● kl" in capsys.readouterr().out and check.passed("kl")


def test_a_mistyped_name_gets_the_nearest():
    with pytest.raises(AttributeError, match=r"did you mean check\.slerp"):
        check.slurp  # noqa: B018


def test_what_page_01_asks_for_is_what_scipy_and_scikit_learn_say():
    components, angles = (check.EXERCISES[n].reference for n in ("principal_components", "angles"))
    g = np.random.default_rng(0)
    x = g.normal(size=(80, 20)) * np.linspace(1, 4, 20) + 3
    mean, v, share = components(x, 5)
    its = PCA(5, svd_solver="full").fit(x)
    np.testing.assert_allclose(np.abs((v * its.components_).sum(1)), 1)
    np.testing.assert_allclose(share, its.explained_variance_ratio_)
    np.testing.assert_allclose(mean, its.mean_)
    weights = g.normal(size=(20, 5))
    np.testing.assert_allclose(angles(weights, v), np.degrees(subspace_angles(weights, v.T))[::-1])
