"""The exam of page 11: wrong causes are refused, repairs pass, and no patient is well as it is."""

import check
import clinic
import course
import examining
import pytest
from check import exam

NAMES = list(clinic.PATIENTS)


@pytest.fixture(scope="module")
def ward():
    faces = course.data("drawn-faces", otherwise="drawn-faces", quick=300, size=32)
    return clinic.Ward(faces, course.data("digits", otherwise="digits"))


def test_every_patient_has_an_answer_and_no_two_the_same():
    assert list(exam.ANSWERS) == NAMES == [*clinic.FIRST, *clinic.SECOND]
    causes = [answer["cause"] for answer in exam.ANSWERS.values()]
    assert len(set(causes)) == len(causes) and set(causes) < set(exam.CAUSES)


@pytest.mark.parametrize("name", NAMES)
def test_the_cause_is_accepted_and_every_other_one_refused(name, capsys):
    right = exam.ANSWERS[name]["cause"]
    for cause in exam.CAUSES:
        said = check.patient.verdict((name, cause))
        assert (said is None) == (cause == right)
        if said and (name, cause) not in exam.ALSO:
            assert exam.CAUSES[cause] in said and right not in said
    check.patient(name, right)
    assert exam.ANSWERS[name]["why"] in capsys.readouterr().out


def test_a_round_is_solved_when_all_of_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("AELIB_PROGRESS", str(tmp_path / "progress.jsonl"))
    monkeypatch.setattr(check.patient, "right", set())
    for name in clinic.FIRST:
        assert not check.passed("patient") or name == "A"
        check.patient(name, exam.ANSWERS[name]["cause"])
    assert check.passed("patient")
    check.patient("M", "hidden β")
    assert not check.passed("patient")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_patient_is_ill_and_the_repair_is_not(ward, name):
    it = {"D": lambda case: case.extra["seen"], "J": lambda case: case.extra["step"]}.get(
        name, lambda case: case.model
    )
    assert check.repaired.verdict((ward, name, it(ward.repaired(name)))) is None
    if name not in "KL":
        assert check.repaired.verdict((ward, name, it(ward[name])))


@pytest.mark.slow
def test_diagnose_names_what_it_can_see_first(ward):
    for name in "ABCEFGHIKLMNOP":
        assert ward[name].diagnose().names[:1] == [exam.ANSWERS[name]["cause"]], name


def test_instruments_see_what_they_are_for(ward):
    assert examining.measures(ward["G"])["pixels to"] == 255
    assert examining.found_by_chance(ward["D"], ward["D"].extra["seen"]) > 0.9
    with pytest.raises(KeyError, match="there is no patient 'Q'"):
        ward["Q"]
