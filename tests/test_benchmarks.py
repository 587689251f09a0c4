"""The benchmark suite: its races, with contenders that only count, and its report. (No peers are needed.)"""

import dataclasses
import json
import os
import re

import pytest
from benchmarks import race, run
from benchmarks.race import Case, ContenderError, Lap


def counting(device, track):
    k = 0
    while True:
        k += 1
        track(100 * k, value=1.0 + k, parameters=7)


def alike(device, track):
    for k in range(1, 100):
        track(10, value=1.01 * (1 + k), parameters=7)


def larger(device, track):
    while True:
        track(10, value=2.0, parameters=8)


def apart(device, track):
    while True:
        track(10, value=2.5)


def failing(device, track):
    track(10)
    raise ArithmeticError("no more")


def dying(device, track):
    track(10)
    os._exit(3)


def ending(device, track):
    track(10)


def case(rounds=2, **contenders):
    return Case("a case", "things", contenders, rounds=rounds, devices=("cpu",))


def lap(seconds, amount=100, value=None, parameters=None):
    return Lap(seconds, amount, value, parameters, 50.0, None)


def test_contenders_take_turns_in_processes_of_their_own():
    laps = race.run(case(counting=counting, alike=alike), "cpu")
    # the first round is the warm-up; the second and third count
    assert [x.amount for x in laps["counting"]] == [200, 300]
    assert [x.amount for x in laps["alike"]] == [10, 10]
    assert all(0 < x.seconds < 10 and x.megabytes > 1 for each in laps.values() for x in each)


def test_everybody_comes_first_in_turn():
    orders = [race.turns("abc", k) for k in range(4)]
    assert orders == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]


def test_medians_and_ratios():
    laps = {
        "ours": [lap(1.0), lap(9.0), lap(2.0)],
        "theirs": [lap(1.0, 10), lap(2.0, 10), lap(4.0, 10)],
    }
    ours, theirs = race.summary(laps).values()
    assert ours["seconds"] == 2.0 and ours["rounds"] == [1.0, 9.0, 2.0] and ours["per_second"] == 50.0
    assert theirs["per_second"] == 5.0 and theirs["ours_is_faster"] == 10.0 and ours["ours_is_faster"] == 1.0


@pytest.mark.parametrize(
    "name, contender, said",
    [
        ("failing", failing, "failing failed:.*ArithmeticError: no more"),
        ("dying", dying, "dying died, with exit code 3"),
        ("ending", ending, "ending failed:\nit ended before the race did"),
        ("larger", larger, "differ in their number of parameters.*'larger': 8"),
        ("apart", apart, "differ by more than 3%.*apart 2.5"),
    ],
)
def test_what_goes_wrong_is_said_with_its_name(name, contender, said):
    with pytest.raises(ContenderError, match=re.compile(said, re.DOTALL)):
        race.run(case(counting=counting, **{name: contender}), "cpu")


def test_values_are_compared_with_what_is_usual_and_nan_agrees_with_nothing():
    some = case(a=counting, b=counting)
    race.compare(some, {"a": lap(1, value=-80.0), "b": lap(1, value=-81.0)})
    with pytest.raises(ContenderError, match="a -80, b -90"):
        race.compare(some, {"a": lap(1, value=-80.0), "b": lap(1, value=-90.0)})
    with pytest.raises(ContenderError, match="nan"):
        race.compare(some, {"a": lap(1, value=float("nan")), "b": lap(1, value=-80.0)})


def test_a_case_run_again_replaces_its_own_entry_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "about", lambda name: {"command": f"run {name}"})
    file = tmp_path / "results" / "benchmarks.json"
    good, bad = case(counting=counting), case(failing=failing)
    other = {"one": {"cuda": {"title": "kept"}}, "two": {"cpu": {"title": "kept"}}}
    file.parent.mkdir()
    file.write_text(json.dumps(other))
    assert run.measure("one", good, file, ("cpu", "cuda")) == []
    results = json.loads(file.read_text())
    assert results["one"]["cuda"] == {"title": "kept"} and results["two"] == other["two"]
    assert results["one"]["cpu"]["contenders"]["counting"]["amount"] == 300
    assert "counting" in capsys.readouterr().out

    (wrong,) = run.measure("two", bad, file, ("cpu",))
    assert "two on cpu: failing failed" in wrong
    assert json.loads(file.read_text()) == results
    again = dataclasses.replace(good, title="another")
    run.measure("one", again, file, ("cpu",))
    assert json.loads(file.read_text())["one"]["cpu"]["title"] == "another"


def entry(device="cpu", **rates):
    laps = {name: [lap(1.0, rate)] * 5 for name, rate in rates.items()}
    machine = {"cpu": "A processor", "cores": 2, "threads": 2, "gpu": "A card", "torch": "2.14"}
    return {"title": "A case", "unit": "images", "machine": machine, "contenders": race.summary(laps)}


def test_the_report_says_what_was_measured():
    from benchmarks import report

    results = {"mlp_vae": {"cpu": entry(aelib=3000, theirs=1000)}, "graph": {"cpu": entry(aelib=5, theirs=4)}}
    text = report.block(results)
    assert "| A case | 3,000 images | 3.00 × theirs |" in text
    assert "medians of\n5 rounds, on A processor, 2 cores, torch 2.14." in text and "A card" not in text
    assert report.figure(results)._repr_png_()[0][:4] == b"\x89PNG"

    results["graph"]["cpu"]["contenders"]["aelib"]["per_second"] = 0.2
    assert "| A case | 1 in 5 s |" in report.block(results)

    results["mlp_vae"]["cuda"] = entry(aelib=90_000, theirs=700)
    text = report.block(results)
    assert "| A case, CUDA | 90,000 images | 129 × theirs |" in text and "A card" in text
    assert report.figure(results)._repr_png_()[0][:4] == b"\x89PNG"


def test_the_report_changes_what_is_between_its_marks_and_nothing_twice():
    from benchmarks import report

    (a, b), (c, d) = ([mark.format(name) for mark in report.MARKS] for name in ("one", "other"))
    page = f"before\n{a}\nold\n{b}\nbetween\n{c}\nkept\n{d}\nafter\n"
    once = report.replaced(page, "one", r"new \1")
    assert once == page.replace("old", r"new \1") and report.replaced(once, "one", r"new \1") == once
    with pytest.raises(ValueError, match="measured: third -->, once each"):
        report.replaced(page, "third", "new")


def test_the_page_holds_the_report_of_the_results():
    from benchmarks import profile, report

    text = report.PAGE.read_text()
    assert report.replaced(text, "race", report.block(json.loads(run.FILE.read_text()))) == text
    table = profile.table(json.loads(report.PROFILE.read_text())).strip()
    assert report.replaced(text, "profile", table) == text


def test_every_case_has_ours_first_and_a_title_of_its_own():
    import importlib

    cases = [importlib.import_module(f"benchmarks.cases.{name}").CASE for name in run.CASES]
    assert all(next(iter(c.contenders)) == "aelib" and len(c.contenders) > 1 for c in cases)
    assert len({c.title for c in cases}) == len(cases)


def test_the_peers_pins_agree_with_the_constraints():
    from benchmarks import peers

    pins, more = (
        dict(line.split("==") for line in file.read_text().splitlines() if "==" in line)
        for file in peers.ASKED
    )
    assert not set(pins) & set(more) and {"pythae", "lightning"} <= set(more)
