"""Whose insurance an EHR is asked for, and when: whoever waits for such a visit and is known there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations.ehr import coverage
from integrations.ehr.gateway import Coverages
from integrations.models import Connection, CoverageRead
from scheduling.models import AppointmentType, Coverage, ExternalId, Patient, Plan
from scheduling.records import CoverageRecord
from tests import factories
from waitlist.models import WaitlistEntry

pytestmark = pytest.mark.django_db

NOW = timezone.now()
SOON, BEFORE = NOW + timedelta(seconds=1), NOW - timedelta(seconds=1)


@dataclass
class Waiting:
    """Somebody known to a loaded EHR who waits for a visit that needs insurance."""

    connection: Connection
    patient: Patient
    kind: AppointmentType
    entry: WaitlistEntry

    def read(self, patient: Patient | None = None, connection: Connection | None = None, **fields: Any) -> CoverageRead:
        return CoverageRead.objects.create(
            connection=connection or self.connection, patient=patient or self.patient, **{"due_at": SOON, **fields}
        )


@pytest.fixture
def waiting(db: None) -> Waiting:
    connection = factories.connection(loaded_at=NOW)
    kind = factories.appointment_type(needs_insurance=True)
    patient = factories.patient(names=connection.source)
    return Waiting(connection, patient, kind, factories.entry(patient, kind))


@pytest.mark.parametrize(
    ("fields", "is_asked"),
    [
        ({}, True),
        ({"state": "paused"}, False),
        ({"loaded_at": None}, False),
        ({"kind": "hl7v2"}, False),
        ({"quiet_until": SOON}, False),
        ({"coverage_due_at": SOON}, False),
        ({"coverage_due_at": NOW}, True),
    ],
)
def test_an_ehr_is_asked_when_it_may_be_and_nobody_else_does(
    waiting: Waiting, fields: dict[str, Any], is_asked: bool
) -> None:
    Connection.objects.update(**fields)
    assert coverage.due(NOW) == ([waiting.connection.pk] if is_asked else [])


@pytest.mark.parametrize(
    "change",
    [
        lambda waiting: WaitlistEntry.objects.update(status="removed"),
        lambda waiting: WaitlistEntry.objects.update(plan=Plan.objects.create(code="gold", name="Gold")),
        lambda waiting: AppointmentType.objects.update(needs_insurance=False),
        lambda waiting: AppointmentType.objects.update(active=False),
        lambda waiting: ExternalId.objects.update(kind=ExternalId.Kind.PROVIDER),
        lambda waiting: ExternalId.objects.update(source=factories.source("elsewhere")),
        lambda waiting: waiting.read(due_at=SOON),
    ],
)
def test_nobody_is_asked_for_in_vain(waiting: Waiting, change: Callable[[Waiting], object]) -> None:
    change(waiting)
    factories.appointment_type(needs_insurance=True)
    assert coverage.due(NOW) == []


@pytest.mark.parametrize("other", ["over", "another patient", "another EHR"])
def test_an_answer_serves_this_patient_at_this_ehr_until_it_is_due_again(waiting: Waiting, other: str) -> None:
    if other == "over":
        waiting.read(due_at=NOW)
    elif other == "another patient":
        waiting.read(factories.patient())
    else:
        waiting.read(connection=factories.connection("oak"))
    assert coverage.due(NOW) == [waiting.connection.pk]


@pytest.mark.parametrize(
    ("read_at", "due_at", "then"),
    [
        (NOW - coverage.YOUNG, SOON, NOW),  # old enough: at once
        (NOW - coverage.YOUNG, BEFORE, BEFORE),  # due as it is
        (NOW - timedelta(minutes=5), NOW + timedelta(days=7), NOW + timedelta(minutes=10)),
        (NOW - timedelta(minutes=5), NOW + timedelta(minutes=3), NOW + timedelta(minutes=3)),
        (None, NOW + timedelta(days=7), NOW + timedelta(days=7)),  # never answered: its retry stands
    ],
)
def test_news_of_a_patient_make_an_answer_due_once_it_is_old_enough(
    waiting: Waiting, read_at: datetime | None, due_at: datetime, then: datetime
) -> None:
    row = waiting.read(read_at=read_at, due_at=due_at)
    neighbour, oak = factories.patient(names=waiting.connection.source), factories.connection("oak")
    others = [waiting.read(each, at, read_at=read_at, due_at=due_at) for each, at in ((neighbour, None), (None, oak))]
    coverage.look_again(waiting.connection.source, [f"pat-{waiting.patient.pk}"], NOW)
    for each in (row, *others):
        each.refresh_from_db()
    assert (row.due_at, [each.due_at for each in others]) == (then, [due_at, due_at])


def test_news_of_something_else_of_that_name_are_none_of_the_patient(waiting: Waiting) -> None:
    row = waiting.read(read_at=NOW - timedelta(days=1))
    factories.external_id(waiting.connection.source, ExternalId.Kind.PROVIDER, waiting.patient, "prov-1")
    factories.external_id(factories.source("elsewhere"), ExternalId.Kind.PATIENT, waiting.patient, "pat-there")
    coverage.look_again(waiting.connection.source, ["prov-1", "pat-there"], NOW)
    row.refresh_from_db()
    assert row.due_at == SOON


@pytest.mark.parametrize("told", ["nothing", "whose it is", "what we read", "what another EHR calls so"])
def test_news_of_an_insurance_are_its_patients(waiting: Waiting, told: str) -> None:
    row = waiting.read(read_at=timezone.now() - timedelta(days=1), due_at=timezone.now() + timedelta(days=6))
    source = waiting.connection.source
    if told in ("what we read", "what another EHR calls so"):
        at = source if told == "what we read" else factories.source("elsewhere")
        Coverage.objects.create(source=at, external_id="cov-1", patient=waiting.patient)
    said = coverage.heard(source, "cov-1", f"pat-{waiting.patient.pk}" if told == "whose it is" else "")
    row.refresh_from_db()
    is_news = told in ("whose it is", "what we read")
    assert (row.due_at <= timezone.now(), said.startswith("what pays")) == (is_news, is_news)


def test_a_patient_of_several_names_is_asked_for_by_the_one_that_was_used_last(waiting: Waiting) -> None:
    source = waiting.connection.source
    ExternalId.objects.update(seen_at=NOW)
    names = {"older": NOW - timedelta(days=1), "newest": SOON, "never": None}
    for value, seen_at in names.items():
        row = factories.external_id(source, ExternalId.Kind.PATIENT, waiting.patient, value)
        ExternalId.objects.filter(pk=row.pk).update(seen_at=seen_at)
    factories.external_id(factories.source("elsewhere"), ExternalId.Kind.PATIENT, waiting.patient, "elsewhere")
    factories.external_id(source, ExternalId.Kind.PROVIDER, waiting.patient, "prov-1")
    assert coverage._names(waiting.connection, [waiting.patient.pk]) == {"newest": waiting.patient.pk}


NOON = datetime(2026, 6, 10, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ends", "until"),
    [
        ([], NOON + coverage.SERVES_EMPTY),
        ([None], NOON + coverage.SERVES),
        ([date(2026, 6, 12)], datetime(2026, 6, 13, 12, 0, tzinfo=UTC)),
        ([date(2026, 6, 14), date(2026, 6, 12), None], datetime(2026, 6, 13, 12, 0, tzinfo=UTC)),
        ([date(2026, 6, 9)], NOON + coverage.SERVES),  # over by this very moment
        ([date(2026, 6, 8)], NOON + coverage.SERVES),
        ([date(2026, 6, 16)], NOON + coverage.SERVES),
        ([date.max], NOON + coverage.SERVES),
    ],
)
def test_it_is_asked_again_after_its_time_or_when_the_first_has_ended(ends: list[date | None], until: datetime) -> None:
    told = Coverages(tuple(CoverageRecord(str(at), "pat-1", valid_until=end) for at, end in enumerate(ends)))
    assert coverage._serves_until(told, NOON) == until
