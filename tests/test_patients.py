"""The generator of patients that `diagnose` is judged on. (Its sets here are those that need no files.)"""

import time

import numpy as np
import pytest
import torch
from benchmarks import diagnosis
from benchmarks.diagnosis import Patient, remarks, verdict
from benchmarks.patients import held_out, pictures, settings
from benchmarks.patients.faults import FAULTS

HERE = ("digits", "letters", "patches", "cartoon faces")


@pytest.fixture(autouse=True)
def here(monkeypatch):
    for name in set(pictures.PICTURES) - set(HERE):
        monkeypatch.delitem(pictures.PICTURES, name)


def batches(s):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = [next(iter(part.batches(32))) for part in (s.data.train[:32], s.valid[:32])]
    return [v for b in found for v in (b.x, None if b.target is b.x else b.target, b.c) if v is not None]


def what_a_fault_can_change(s):
    """Everything a setting consists of, as text: data, wiring, start, loss, optimizers, plan."""
    torch.manual_seed(0)
    s.build()
    mine = set(map(id, s.model.parameters()))
    groups = [[p for g in o.param_groups for p in g["params"]] for o in diagnosis.optimizers(s)]
    held = [sum(p.numel() * (1 if id(p) in mine else -1) for p in group) for group in groups]
    rates = [(g["lr"], g.get("weight_decay")) for o in diagnosis.optimizers(s) for g in o.param_groups]
    numbers = [v.double().nan_to_num(-7).flatten().cos().cumsum(0).sum().item() for v in batches(s)]
    model = {k: v.double().sum().item() for k, v in s.model.state_dict().items()}
    grad = [p.requires_grad for p in s.model.parameters()]
    momenta = [getattr(m, "momentum", None) for m in s.model.modules()]
    terms = s.made.keys() if isinstance(s.made, dict) else ()
    return [
        numbers, model, grad, momenta, held, rates, list(terms), str(s.model), repr(s.objective),
        s.lr, s.epochs, len(s.data.train), len(s.valid), len(s.after), type(s.model).__name__,
    ]  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_changes_its_patient_and_nothing_else_is_random(name, tmp_path):
    patient = Patient(0, name, tmp_path)
    ill, again, twin = patient.setting(), patient.setting(), patient.setting(healthy=True)
    assert str(ill) == str(again) == str(twin)
    ill, again, twin = (what_a_fault_can_change(s) for s in (ill, again, twin))
    for a, b in zip(ill[:8], again[:8], strict=True):  # an objective's text names its place in memory
        assert a == b or "object at" in str(a)
    assert ill != twin


def test_a_patient_from_the_folder_is_the_one_that_was_trained(tmp_path, monkeypatch):
    drawn = settings.setting

    def short(seed):
        s = drawn(seed)
        s.epochs = 1
        return s

    monkeypatch.setattr(diagnosis, "setting", short)
    patient = Patient(0, "target mirrored", tmp_path)
    made = patient.made()
    loaded = patient.load()
    assert all(v.equal(made["state"][k]) for k, v in loaded.model.state_dict().items())
    assert list(loaded.history) == made["history"] and not loaded.model.training
    again = Patient(0, "target mirrored", tmp_path / "other").made()
    assert all(v.equal(again["state"][k]) for k, v in made["state"].items())


def test_no_unseen_patient_is_among_the_others_and_held_out_kinds_are_unseen_only(tmp_path):
    seen, new = (diagnosis.drawn(5, 20, unseen, tmp_path) for unseen in (False, True))
    seeds = [{p.number for p in part} for part in (seen, new)]
    assert not seeds[0] & seeds[1] and {p.name for p in seen} < {p.name for p in new}
    kinds = {p.name for p in new} - {p.name for p in seen}
    assert kinds == {f.name for f in FAULTS.values() if f.family == held_out.HELD_OUT}
    assert not {p.file() for p in seen} & {p.file() for p in new}


def test_patients_are_judged_by_several_processes_until_the_time_is_over(tmp_path):
    patients = [p for p in diagnosis.drawn(1, 0, False, tmp_path) if p.name in ("no kl", "target mirrored")]
    for patient in patients:  # a training that stopped with an error: nothing to judge
        for healthy in (False, True):
            torch.save(None, patient.file(healthy))
    jobs = [(p, False) for p in patients]
    rows = {str(p): row for p, row in diagnosis.gathered(jobs, 2, time.monotonic() + 1000)}
    assert rows == {"no kl 0": None, "target mirrored 0": None}
    assert not list(diagnosis.gathered(jobs, 2, time.monotonic() - 1))


def test_pictures_are_read_from_the_file_that_keeps_them(tmp_path, monkeypatch):
    some = {"digits": pictures.loaded("digits"), "cartoon faces": pictures.loaded("cartoon faces")}
    monkeypatch.setattr(pictures, "PICTURES", dict.fromkeys(some))
    pictures.save(tmp_path / "kept.npz")
    monkeypatch.setenv("AELIB_PATIENTS", str(tmp_path / "kept.npz"))
    for name, parts in some.items():
        for kept, part in zip(pictures.loaded.__wrapped__(name), parts, strict=True):
            assert (kept.pixels == part.pixels).all() and list(kept.classes) == list(part.classes)
            assert np.array_equal(kept.labels, part.labels)
            assert (kept.attributes is None) == (part.attributes is None)
            assert kept.attributes is None or np.array_equal(kept.attributes, part.attributes)


def test_the_first_name_decides():
    fault = FAULTS["targets of other images"]
    said = ["inputs and targets of different images", "hardly trained", "overfitting"]
    assert [verdict(fault, [name]) for name in said] == ["right", "symptom", "wrong"]
    assert verdict(fault, said[1:] + said[:1]) == "symptom" and verdict(fault, []) == "nothing"


def test_of_a_healthy_one_may_be_said_what_is_measured():
    well = {"train": 0.9, "valid": 0.89, "pca": 0.9, "active": 1.0, "gap": 0.0, "still falling": 0.0}
    assert remarks(well) == set() and not diagnosis.not_healthy(well)
    assert remarks(well | {"valid": 0.8}) == {"overfitting"}
    early = remarks(well | {"still falling": 0.2, "gap": 1.0})
    assert early == {"hardly trained", "codes far from the prior"}
    assert diagnosis.not_healthy(well | {"valid": 0.5}) and diagnosis.not_healthy(well | {"active": 0.3})
