"""What each answer to a correction leads to: another look, staff, the end; and that nothing is lost or sent in vain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from integrations import demographics, patient_outcomes
from integrations.ehr.gateway import (
    Capabilities,
    Duplicate,
    GatewayError,
    LoginRefused,
    Malformed,
    NotFound,
    OutcomeUnknown,
    PatientAsRead,
    Rejected,
    StaleVersion,
    Taken,
    Throttled,
    Unavailable,
)
from integrations.models import Connection, InboundEvent
from scheduling import corrections, patient_writes, practice
from scheduling.contention import DEADLOCK
from scheduling.corrections import Correction, Detail
from scheduling.models import ExternalId, PatientWrite, Source, WorkItem
from scheduling.records import PatientRecord
from tests import factories
from tests.integrations.conftest import open_items
from tests.race import ended_by_the_database

pytestmark = pytest.mark.django_db

Status, Kind = PatientWrite.Status, PatientWrite.Kind
TRIES = len(settings.WRITE_RETRY_SECONDS)


@dataclass
class Chart:
    """An EHR of one patient, whose language is to be corrected from English to Spanish; fails as it is told."""

    row: PatientWrite
    language: str = "en"
    corrects: str = "patch"
    errors: dict[str, list[Exception]] = field(default_factory=lambda: {"read": [], "write": []})
    calls: list[str] = field(default_factory=list)
    takes: bool = True
    changes_meanwhile: bool = False

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(corrects_patients=self.corrects)  # type: ignore[arg-type]

    def read_patient(self, external_id: str) -> PatientAsRead:
        self._call("read")
        version = str(len(self.calls)) if self.changes_meanwhile else "1"
        record = PatientRecord(external_id, version, "Robin", "Sample", language=self.language)
        return PatientAsRead(record, version)

    def correct_patient(self, read: PatientAsRead, wanted: Sequence[Correction]) -> None:
        self._call("write")
        if self.takes:
            self.language = wanted[0].new

    def _call(self, which: str) -> None:
        self.calls.append(which)
        if self.errors[which]:
            raise self.errors[which].pop(0)

    def work(self, **fields: Any) -> PatientWrite:
        """Work on the row once, now, as ``fields`` say it stands; return it."""
        PatientWrite.objects.filter(pk=self.row.pk).update(due_at=timezone.now(), **fields)
        assert demographics.process(self.row.pk)
        self.row.refresh_from_db()
        return self.row

    @property
    def waits(self) -> float:
        """Seconds until the next look."""
        return (self.row.due_at - timezone.now()).total_seconds()


@pytest.fixture
def chart(db: None, monkeypatch: pytest.MonkeyPatch) -> Chart:
    connection = factories.connection()
    patient = factories.patient(names=connection.source, language="en")
    [row] = patient_writes.correct(patient, [Correction(Detail.LANGUAGE, "es")])
    found = Chart(row)
    monkeypatch.setattr(demographics, "connect", lambda connection: found)
    return found


def test_it_is_read_written_and_read_back(chart: Chart) -> None:
    assert (chart.work().status, chart.calls, chart.language) == (Status.DONE, ["read", "write", "read"], "es")
    assert not demographics.process(chart.row.pk)


def test_what_the_ehr_has_already_is_not_written(chart: Chart) -> None:
    chart.language = "es"
    assert (chart.work().status, chart.calls) == (Status.DONE, ["read"])


@pytest.mark.parametrize("error", [StaleVersion(), Duplicate(), Taken()])
def test_a_version_that_changed_is_read_and_sent_again(chart: Chart, error: GatewayError) -> None:
    chart.errors["write"] = [error]
    assert (chart.work().status, chart.calls) == (Status.DONE, ["read", "write", "read", "write", "read"])


def test_a_version_that_changes_again_and_again_is_left_to_the_schedule(chart: Chart) -> None:
    chart.errors["write"] = [StaleVersion()] * demographics.STALE_TRIES
    row = chart.work()
    assert (row.status, row.error_code, row.attempts) == (Status.UNKNOWN, "stale_version", 1)
    assert chart.calls == ["read", "write"] * demographics.STALE_TRIES
    assert 0 < chart.waits < settings.WRITE_RETRY_SECONDS[0] * 1.3


@pytest.mark.parametrize("meanwhile", [True, False])
def test_a_refusal_is_for_staff_but_that_of_a_record_that_changed_meanwhile(chart: Chart, meanwhile: bool) -> None:
    chart.changes_meanwhile = meanwhile
    chart.errors["write"] = [Rejected()]
    row = chart.work()
    assert row.status == (Status.DONE if meanwhile else Status.BY_HAND)
    assert open_items() == ([] if meanwhile else [patient_outcomes.BY_HAND])


@pytest.mark.parametrize("why", ["not able", "not writable"])
def test_where_nothing_may_be_written_staff_enter_it_and_are_told_again_only_when_it_is_there(
    chart: Chart, why: str
) -> None:
    if why == "not able":
        chart.corrects = ""
    else:
        Source.objects.update(writable=False)
    assert (chart.work().status, chart.calls) == (Status.BY_HAND, ["read"])
    assert (chart.work().status, chart.row.attempts) == (Status.BY_HAND, 1)
    assert chart.waits == pytest.approx(600, abs=60)
    chart.language = "es"
    assert (chart.work().status, open_items()) == (Status.DONE, [])
    assert "write" not in chart.calls


def test_what_rests_with_staff_is_not_written_though_it_could_be(chart: Chart) -> None:
    row = chart.work(status=Status.CONFLICT)
    assert (row.status, chart.calls) == (Status.BY_HAND, ["read"])


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFound(), Status.DEAD, "not_found"),
        (Malformed(), Status.WAITING, "malformed"),
        (Unavailable(), Status.WAITING, "unavailable"),
        (Throttled(), Status.WAITING, "throttled"),
        (LoginRefused(status=401), Status.WAITING, "login_refused"),
        (LoginRefused(status=403), Status.WAITING, "login_refused"),
        (ValueError("a fault of ours"), Status.WAITING, "our_fault"),
        (ended_by_the_database(DEADLOCK), Status.WAITING, "gave_way"),
    ],
)
def test_a_look_that_fails_says_so_and_only_a_record_that_is_not_there_ends_it(
    chart: Chart, error: Exception, status: str, code: str
) -> None:
    chart.errors["read"] = [error]
    row = chart.work()
    assert (row.status, row.error_code, row.sent_at) == (status, code, None)
    counts = code in ("malformed", "our_fault", "not_found")
    assert row.attempts == (1 if counts else 0)
    assert (open_items() == [patient_outcomes.DEAD]) is (status == Status.DEAD)


def test_a_patient_whom_the_ehr_has_no_name_for_is_for_staff(chart: Chart) -> None:
    ExternalId.objects.all().delete()
    assert (chart.work().status, chart.row.error_code, chart.calls) == (Status.DEAD, "unknown_reference", [])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OutcomeUnknown(), Status.UNKNOWN),
        (Unavailable(), Status.UNKNOWN),
        (LoginRefused(status=401), Status.UNKNOWN),
        (LoginRefused(status=403), Status.BY_HAND),
    ],
)
def test_a_write_that_was_not_answered_is_unknown_and_one_that_we_have_no_right_to_is_for_staff(
    chart: Chart, error: GatewayError, status: str
) -> None:
    chart.errors["write"] = [error]
    assert chart.work().status == status
    assert chart.row.sent_at is not None


def test_what_the_ehr_does_not_show_is_not_done(chart: Chart) -> None:
    chart.takes = False
    assert (chart.work().status, chart.row.error_code) == (Status.UNKNOWN, "outcome_unknown")


@pytest.mark.parametrize(("tries", "status"), [(TRIES - 1, Status.WAITING), (TRIES, Status.DEAD)])
def test_it_is_for_staff_when_the_tries_are_used_up(chart: Chart, tries: int, status: str) -> None:
    chart.errors["read"] = [Malformed()]
    assert chart.work(attempts=tries).status == status
    title = "A patient’s corrected details could not be written to the EHR"
    assert WorkItem.objects.filter(title=title).exists() is (status == Status.DEAD)


@pytest.mark.parametrize(("tries", "is_dead"), [(TRIES + demographics.CRASHES_FORGIVEN - 1, False), (99, True)])
def test_one_that_kills_its_workers_comes_to_rest(chart: Chart, tries: int, is_dead: bool) -> None:
    lapsed = timezone.now()
    row = chart.work(status=Status.SENDING, lease_until=lapsed, attempts=tries)
    assert (row.status, row.error_code) == ((Status.DEAD, "worker_lost") if is_dead else (Status.DONE, ""))
    assert (chart.calls == []) is is_dead


def test_what_rests_with_staff_outlives_any_number_of_looks_that_fail(chart: Chart) -> None:
    chart.errors["read"] = [Malformed(), Unavailable(), ValueError()]
    for _ in range(3):
        row = chart.work(status=Status.BY_HAND, attempts=TRIES + demographics.CRASHES_FORGIVEN)
        assert (row.status, row.attempts) == (Status.BY_HAND, TRIES + demographics.CRASHES_FORGIVEN)
        assert chart.waits == pytest.approx(600, abs=60)


@pytest.mark.parametrize("why", ["paused", "in shadow", "quiet", "connection paused"])
@pytest.mark.parametrize("before", [Status.WAITING, Status.UNKNOWN, Status.BY_HAND])
def test_while_nothing_may_be_asked_it_waits_as_it_is(chart: Chart, why: str, before: str) -> None:
    now = timezone.now()
    if why == "paused":
        practice.pause("Maria")
    elif why == "in shadow":
        Source.objects.update(shadow_since=now)
    elif why == "quiet":
        Connection.objects.update(quiet_until=now + timedelta(minutes=5))
    else:
        Connection.objects.update(state="paused")
    row = chart.work(status=before, attempts=2, sent_at=now if before == Status.UNKNOWN else None)
    assert (row.status, row.attempts, chart.calls) == (before, 2, [])
    shortest = {"paused": 0, "in shadow": 60, "quiet": 300, "connection paused": 60}[why]
    assert chart.waits > (600 if before == Status.BY_HAND else shortest) - 30


def test_without_a_connection_staff_enter_it(chart: Chart) -> None:
    Connection.objects.all().delete()
    assert (chart.work().status, chart.calls) == (Status.BY_HAND, [])


def test_nothing_is_said_for_a_worker_that_lost_its_row(chart: Chart, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has it by now says what became of it."""
    other = timezone.now() + timedelta(hours=1)
    read = chart.read_patient

    def overtaken(external_id: str) -> PatientAsRead:
        PatientWrite.objects.update(lease_until=other)
        return read(external_id)

    monkeypatch.setattr(chart, "read_patient", overtaken)
    row = chart.work()
    assert (row.status, row.lease_until, chart.calls) == (Status.SENDING, other, ["read"])


# --- what staff choose ------------------------------------------------------------------------------------------------


def events() -> list[str]:
    return list(InboundEvent.objects.values_list("subject_key", flat=True))


@pytest.mark.parametrize("choice", [demographics.take_theirs, demographics.give_up])
def test_a_choice_for_the_ehrs_has_it_read_again_and_a_late_one_nothing(chart: Chart, choice: Any) -> None:
    chart.row.status = Status.DONE
    assert not choice(chart.row)
    assert events() == []
    PatientWrite.objects.update(status=Status.CONFLICT, conflicts={"language": ["de"]})
    chart.row.refresh_from_db()
    assert choice(chart.row)
    assert events() == [f"Patient/pat-{chart.row.patient_id}"]


def test_giving_up_a_registration_refuses_its_bookings_and_reads_nobody(
    chart: Chart, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[PatientWrite] = []
    monkeypatch.setattr(demographics, "registering", SimpleNamespace(refuse_bookings=refused.append))
    PatientWrite.objects.update(kind=Kind.REGISTER)
    chart.row.refresh_from_db()
    assert demographics.give_up(chart.row)
    assert (refused, events()) == ([chart.row], [])


def test_of_an_ehr_without_a_connection_nothing_is_read_again(chart: Chart) -> None:
    Connection.objects.all().delete()
    factories.connection("oak")  # another EHR, which is not asked in its place
    demographics.read_again(chart.row)
    assert events() == []


def test_what_is_wanted_is_kept_as_it_was_entered(chart: Chart) -> None:
    [wanted] = corrections.read(chart.row.wanted)
    assert (wanted.detail, wanted.new, wanted.old, wanted.base) == (Detail.LANGUAGE, "es", "en", ("en",))
    assert isinstance(chart.row.due_at, datetime)
