"""The outbox of patients' details, row by row: which is due, who holds it, and what staff may still decide about it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from scheduling import corrections, patient_writes, patients
from scheduling.corrections import Correction, Detail
from scheduling.models import ExternalId, Patient, PatientWrite, Source, WorkItem
from scheduling.worklist import ask_staff
from tests import factories

pytestmark = pytest.mark.django_db

Status, Kind = PatientWrite.Status, PatientWrite.Kind
NOW = timezone.now()
SOON = NOW + timedelta(seconds=1)
ENDED = [Status.DONE, Status.DROPPED, Status.DEAD]
RESTING = [Status.BY_HAND, Status.CONFLICT]
EVERY = list(Status)
LANGUAGE, NAME = Correction(Detail.LANGUAGE, "es", "en"), Correction(Detail.PREFERRED_NAME, "Bo", "Robin")


def write(patient: Patient | None = None, source: Source | None = None, **fields: Any) -> PatientWrite:
    source = source or factories.source()
    return PatientWrite.objects.create(
        patient=patient or factories.patient(names=source), source=source, **{"due_at": NOW, **fields}
    )


def leased(**fields: Any) -> PatientWrite:
    row = patient_writes.lease(write(**fields).pk, NOW)
    assert row is not None
    return row


def now_is(row: PatientWrite) -> PatientWrite:
    return PatientWrite.objects.get(pk=row.pk)


def asked_about(row: PatientWrite) -> bool:
    return WorkItem.objects.filter(dedupe_key=patient_writes.work_key(row), status="open").exists()


def ask_about(row: PatientWrite) -> None:
    ask_staff("patient.write.dead", "Look", advice="", dedupe_key=patient_writes.work_key(row), subject=row)


# --- which is due -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "is_due"),
    [
        *(({"status": status}, True) for status in (Status.WAITING, Status.UNKNOWN, *RESTING)),
        *(({"status": status}, False) for status in ENDED),
        *(({"status": status, "due_at": SOON}, False) for status in (Status.WAITING, Status.UNKNOWN, *RESTING)),
        ({"status": Status.SENDING, "lease_until": SOON}, False),
        ({"status": Status.SENDING, "lease_until": NOW, "due_at": SOON}, True),
    ],
)
def test_what_is_due_is_taken_up_by_one_and_nothing_else_is(fields: dict[str, Any], is_due: bool) -> None:
    row = write(**fields)
    assert patient_writes.due(NOW) == ([row.pk] if is_due else [])
    taken = patient_writes.lease(row.pk, NOW)
    assert (taken is not None) is is_due
    assert patient_writes.lease(row.pk, NOW) is None
    after = now_is(row)
    if is_due:
        assert (after.status, after.lease_until) == (Status.SENDING, NOW + patient_writes.LEASE)
    else:
        assert (after.status, after.lease_until, after.attempts) == (row.status, row.lease_until, 0)


def test_the_longest_due_comes_first_and_no_more_than_asked_for() -> None:
    rows = [write(due_at=NOW - timedelta(minutes=minutes)) for minutes in (1, 3, 2)]
    assert patient_writes.due(NOW) == [rows[1].pk, rows[2].pk, rows[0].pk]
    assert patient_writes.due(NOW, limit=2) == [rows[1].pk, rows[2].pk]


@pytest.mark.parametrize("status", EVERY)
def test_of_one_patient_at_one_ehr_the_earlier_one_that_moves_goes_first(status: str) -> None:
    """Also where it is not due yet: the later word must not arrive before the earlier one."""
    source = factories.source()
    patient = factories.patient(names=source)
    write(patient, source, status=status, due_at=SOON, lease_until=SOON)
    later = write(patient, source)
    waits = status in (Status.WAITING, Status.SENDING, Status.UNKNOWN)
    assert patient_writes.due(NOW) == ([] if waits else [later.pk])


def test_nobody_elses_and_no_other_ehrs_holds_one_up() -> None:
    source, patient = factories.source(), factories.patient()
    write(factories.patient(), source, due_at=SOON)
    write(patient, factories.source("elsewhere"), due_at=SOON)
    row = write(patient, source)
    write(patient, source, due_at=SOON)
    assert patient_writes.due(NOW) == [row.pk]


@pytest.mark.parametrize(
    ("status", "attempts"),
    [(Status.WAITING, 3), (Status.UNKNOWN, 3), (Status.SENDING, 3), (Status.BY_HAND, 2), (Status.CONFLICT, 2)],
)
def test_a_look_at_what_rests_with_staff_is_no_try(status: str, attempts: int) -> None:
    row = leased(status=status, attempts=2, lease_until=NOW)
    assert (row.attempts, now_is(row).attempts) == (attempts, attempts)
    assert now_is(row).error_code == ("worker_lost" if status == Status.SENDING else "")


# --- who holds it -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [True, False])
def test_whoever_has_it_may_hold_it_longer_and_notes_a_call(sent: bool) -> None:
    row, other = leased(), leased()
    before = timezone.now()
    assert patient_writes.keep(row, sent=sent)
    after = now_is(row)
    assert after.lease_until == row.lease_until
    assert after.lease_until is not None
    assert after.lease_until >= before + patient_writes.LEASE
    assert (after.sent_at == row.sent_at, after.sent_at is not None) == (True, sent)
    assert (now_is(other).lease_until, now_is(other).sent_at) == (NOW + patient_writes.LEASE, None)


@pytest.mark.parametrize(
    "act",
    [
        patient_writes.keep,
        lambda row: patient_writes.put_down(row, Status.WAITING, NOW),
        lambda row: patient_writes.end(row, Status.DONE),
    ],
)
@pytest.mark.parametrize("lost", [{"lease_until": SOON}, {"status": Status.DROPPED}])
def test_whoever_lost_it_changes_nothing(act: Callable[[PatientWrite], bool], lost: dict[str, Any]) -> None:
    row = leased()
    ask_about(row)
    PatientWrite.objects.filter(pk=row.pk).update(**lost)
    before = PatientWrite.objects.filter(pk=row.pk).values().get()
    assert not act(row)
    assert PatientWrite.objects.filter(pk=row.pk).values().get() == before
    assert asked_about(row)


def test_what_is_put_down_is_due_again_and_free() -> None:
    row = leased()
    assert patient_writes.put_down(row, Status.UNKNOWN, SOON, "x" * 61, attempts=7)
    after = now_is(row)
    assert (after.status, after.due_at, after.lease_until, after.attempts) == (Status.UNKNOWN, SOON, None, 7)
    assert after.error_code == "x" * 60


@pytest.mark.parametrize(("to", "still_asked"), [(Status.DONE, False), (Status.DEAD, True)])
def test_what_ends_leaves_the_worklist_unless_staff_have_to_look(to: str, still_asked: bool) -> None:
    row = leased()
    ask_about(row)
    assert patient_writes.end(row, to, "code")
    after = now_is(row)
    assert (after.status, after.error_code, after.lease_until) == (to, "code", None)
    assert after.finished_at is not None
    assert asked_about(row) is still_asked


# --- what staff decide ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", EVERY)
def test_what_nobody_works_on_may_be_given_up(status: str) -> None:
    row = write(status=status)
    ask_about(row)
    may = status in (Status.WAITING, *RESTING, Status.DEAD)
    assert patient_writes.drop(row, "It was given up.") is may
    after = now_is(row)
    assert (after.status, after.finished_at is not None) == ((Status.DROPPED, True) if may else (status, False))
    assert asked_about(row) is not may


Decide = Callable[[PatientWrite], bool]
CHOICES: list[tuple[Decide, str]] = [
    (patient_writes.take_theirs, Status.CONFLICT),
    (patient_writes.send_ours, Status.CONFLICT),
    (patient_writes.retry, Status.DEAD),
]


@pytest.mark.parametrize(("decide", "there"), CHOICES)
@pytest.mark.parametrize("status", EVERY)
def test_a_choice_is_one_only_while_it_is_to_be_made(decide: Decide, there: str, status: str) -> None:
    wanted = corrections.written([LANGUAGE, NAME])
    row = write(
        status=status,
        wanted=wanted,
        conflicts={"language": ["de"]},
        attempts=4,
        error_code="conflict",
        due_at=SOON,
        finished_at=NOW,
    )
    ask_about(row)
    assert decide(row) is (status == there)
    after = now_is(row)
    if status != there:
        assert (after.status, after.wanted, after.conflicts) == (status, wanted, {"language": ["de"]})
        assert asked_about(row)
        return
    assert (after.status, after.attempts, after.error_code) == (Status.WAITING, 0, "")
    assert after.due_at <= timezone.now()
    assert not asked_about(row)
    left = [each["detail"] for each in after.wanted]
    assert left == (["preferred_name"] if decide == patient_writes.take_theirs else ["language", "preferred_name"])
    assert after.overrules == ({"language": ["de"]} if decide == patient_writes.send_ours else {})
    assert after.conflicts == ({"language": ["de"]} if decide == patient_writes.retry else {})
    assert (after.finished_at is None) is (decide == patient_writes.retry)


def test_a_registration_that_waits_for_a_comparison_is_no_choice_between_details() -> None:
    row = write(status=Status.CONFLICT, kind=Kind.REGISTER)
    assert not patient_writes.take_theirs(row)
    assert not patient_writes.send_ours(row)
    assert now_is(row).status == Status.CONFLICT


# --- what a later correction makes of earlier ones --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "is_taken"),
    [
        *(({"status": status}, True) for status in (Status.WAITING, *RESTING, Status.DEAD)),
        *(({"status": status}, False) for status in (Status.SENDING, Status.UNKNOWN, Status.DONE, Status.DROPPED)),
        ({"sent_at": NOW}, False),
        ({"kind": Kind.REGISTER}, False),
    ],
)
def test_a_later_correction_takes_over_what_an_earlier_one_still_wants(fields: dict[str, Any], is_taken: bool) -> None:
    source = factories.source()
    patient = factories.patient(names=source, language="en")
    earlier = write(patient, source, wanted=corrections.written([NAME]), **fields)
    [row] = patient_writes.correct(patient, [Correction(Detail.LANGUAGE, "es")])
    wanted = [each["detail"] for each in row.wanted]
    assert wanted == (["language", "preferred_name"] if is_taken else ["language"])
    assert (now_is(earlier).status == Status.DROPPED) is (is_taken or fields.get("status") == Status.DROPPED)


def test_what_others_or_other_ehrs_are_still_told_is_left_to_itself() -> None:
    source, elsewhere = factories.source(), factories.source("elsewhere")
    patient = factories.patient(names=source, language="en")
    others = [
        write(factories.patient(names=source), source, wanted=corrections.written([NAME])),
        write(patient, elsewhere, wanted=corrections.written([NAME])),
    ]
    [row] = patient_writes.correct(patient, [Correction(Detail.LANGUAGE, "es")])
    assert [each["detail"] for each in row.wanted] == ["language"]
    assert [now_is(each).status for each in others] == [Status.WAITING, Status.WAITING]


def test_each_ehr_that_knows_the_patient_is_told_once_of_what_it_owns() -> None:
    source, elsewhere = factories.source(), factories.source("elsewhere", practice_owns=["language"])
    patient = factories.patient(names=source, language="en")
    for at, kind, value in (
        (source, ExternalId.Kind.PATIENT, "again"),
        (elsewhere, ExternalId.Kind.PATIENT, "pat-9"),
        (factories.source("third"), ExternalId.Kind.PROVIDER, "prov-9"),
    ):
        factories.external_id(at, kind, patient, value)
    rows = patient_writes.correct(patient, [Correction(Detail.LANGUAGE, "es"), Correction(Detail.PREFERRED_NAME, "Bo")])
    told = {row.source.key: [each["detail"] for each in row.wanted] for row in rows}
    assert (told, len(rows)) == ({source.key: ["language", "preferred_name"], "elsewhere": ["preferred_name"]}, 2)
    patient.refresh_from_db()
    assert (patient.language, patient.preferred_name) == ("es", "Bo")


def test_whoever_is_called_otherwise_is_found_by_that() -> None:
    patient = factories.patient()
    patients.keep_search_tokens(patient)
    patient_writes.correct(patient, [Correction(Detail.PREFERRED_NAME, "Bo")])
    assert list(patients.find_patients("Bo", Patient.objects.all())) == [patient]


def test_an_ehr_is_not_told_of_what_the_practice_owns() -> None:
    patient = factories.patient(names=factories.source(practice_owns=["language"]), language="en")
    assert patient_writes.correct(patient, [Correction(Detail.LANGUAGE, "es")]) == []
    assert not PatientWrite.objects.exists()


def test_nobody_is_told_of_a_patient_whom_no_ehr_knows() -> None:
    patient = factories.patient(language="en")
    assert patient_writes.correct(patient, [Correction(Detail.LANGUAGE, "es")]) == []
    assert not PatientWrite.objects.exists()


# --- what still stands ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", EVERY)
def test_a_correction_stands_until_it_has_ended(status: str) -> None:
    source = factories.source()
    patient = factories.patient(names=source, language="es")
    row = write(patient, source, status=status, wanted=corrections.written([LANGUAGE]), finished_at=NOW)
    live = status not in ENDED
    assert list(patient_writes.pending(patient)) == ([row] if live else [])
    # One given up while the EHR was not read since.
    ExternalId.objects.update(seen_at=NOW - timedelta(seconds=1))
    assert patient_writes.standing(patient, Detail.LANGUAGE) == (None if status == Status.DONE else (row, "en"))
    ExternalId.objects.update(seen_at=NOW)
    assert patient_writes.standing(patient, Detail.LANGUAGE) == (
        None if status in (Status.DONE, Status.DROPPED) else (row, "en")
    )


def test_what_another_ehr_says_of_the_patient_or_this_one_of_others_ends_nothing() -> None:
    source = factories.source()
    patient = factories.patient(names=source, language="es")
    ExternalId.objects.update(seen_at=NOW - timedelta(minutes=1))
    row = write(patient, source, status=Status.DROPPED, wanted=corrections.written([LANGUAGE]), finished_at=NOW)
    factories.patient(names=source)
    factories.external_id(factories.source("elsewhere"), ExternalId.Kind.PATIENT, patient, "pat-9")
    factories.external_id(source, ExternalId.Kind.PROVIDER, patient, "prov-9")
    ExternalId.objects.exclude(object_id=patient.pk, source=source, kind="patient").update(seen_at=SOON)
    assert patient_writes.standing(patient, Detail.LANGUAGE) == (row, "en")


def test_of_several_the_last_one_that_is_what_we_hold_stands() -> None:
    source = factories.source()
    patient = factories.patient(names=source, language="es")
    told = [Correction(Detail.LANGUAGE, "es", old) for old in ("en", "de")]
    rows = [write(patient, source, status=Status.DEAD, wanted=corrections.written([each])) for each in told]
    write(patient, source, wanted=corrections.written([Correction(Detail.LANGUAGE, "fr", "es")]))
    write(factories.patient(names=source), source, wanted=corrections.written([LANGUAGE]))
    write(patient, source, kind=Kind.REGISTER, wanted=corrections.written([LANGUAGE]))
    assert patient_writes.standing(patient, Detail.LANGUAGE) == (rows[1], "de")
    assert patient_writes.standing(patient, Detail.PREFERRED_NAME) is None


def test_what_is_pending_is_the_patients_own_in_order() -> None:
    source = factories.source()
    patient = factories.patient(names=source)
    rows = [write(patient, source) for _ in range(2)]
    write(factories.patient(names=source), source)
    assert list(patient_writes.pending(patient)) == rows


# --- what is entered --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entered", "kept"),
    [
        (Correction(Detail.EMAIL, " Robin@Example.org "), "robin@example.org"),
        (Correction(Detail.PHONE, "(212) 555-0188"), "+12125550188"),
        (Correction(Detail.ADDRESS, "  2 Oak St,\n Troy  NY "), "2 Oak St, Troy NY"),
        (Correction(Detail.ADDRESS, "", "2 Oak St"), ""),
        (Correction(Detail.ADDRESS, "4 Ash Ln", "2 Oak St"), "4 Ash Ln"),
        (Correction(Detail.PREFERRED_NAME, "x" * 301), "x" * 300),
    ],
)
def test_what_is_entered_is_tidied(entered: Correction, kept: str) -> None:
    assert patient_writes.tidy(entered).new == kept


@pytest.mark.parametrize(
    "entered",
    [
        Correction(Detail.EMAIL, "robin"),
        Correction(Detail.EMAIL, "@example.org"),
        Correction(Detail.EMAIL, "robin@"),
        Correction(Detail.EMAIL, "robin b@example.org"),
        Correction(Detail.PHONE, "+1 212 555 0188 x12"),
        Correction(Detail.ADDRESS, ""),
        Correction(Detail.ADDRESS, " "),
        Correction(Detail.LANGUAGE, "", "en"),
        Correction(Detail.PHONE, ""),
    ],
)
def test_what_is_incomplete_is_refused(entered: Correction) -> None:
    with pytest.raises(patient_writes.CorrectionRefused):
        patient_writes.tidy(entered)


@pytest.mark.parametrize(
    ("detail", "new", "old", "why"),
    [
        (Detail.LANGUAGE, "en", "", "on file so already"),
        (Detail.ADDRESS, "", "9 Elm Rd", "changed meanwhile"),
        (Detail.PHONE, "+12125550101", "", "on file already"),
        (Detail.PHONE, "+12125550199", "+12125550102", "changed meanwhile"),
        (Detail.PHONE, "+12125550199", "+12125550103", "changed meanwhile"),
        (Detail.PHONE, "+12125550103", "", "guardian"),
    ],
)
def test_what_is_on_file_or_no_longer_is_refused_and_changes_nothing(
    detail: Detail, new: str, old: str, why: str
) -> None:
    source = factories.source()
    patient = factories.patient(names=source, phone="+12125550101", language="en", address="2 Oak St")
    factories.contact(patient, "+12125550102", use="old")
    factories.contact(patient, "+12125550103", guardian=True)
    with pytest.raises(patient_writes.CorrectionRefused, match=why):
        patient_writes.correct(patient, [Correction(Detail.PREFERRED_NAME, "Bo"), Correction(detail, new, old)])
    patient.refresh_from_db()
    assert (patient.preferred_name, PatientWrite.objects.exists()) == ("", False)


def test_a_number_that_was_theirs_may_be_entered_again() -> None:
    source = factories.source()
    patient = factories.patient(names=source, phone="+12125550101", email="robin@example.org")
    factories.contact(patient, "+12125550102", use="old")
    [row] = patient_writes.correct(patient, [Correction(Detail.PHONE, "+12125550102")])
    [wanted] = corrections.read(row.wanted)
    assert wanted.base == ("+12125550101",)
    assert {each.value for each in patient.contact_points.filter(system="phone").exclude(use="old")} == {
        "+12125550101",
        "+12125550102",
    }
