"""5,000 patients and their visits compared with an EHR in a process of its own, over HTTP, from login to verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from config.sandbox import start_sandbox
from integrations.ehr import reconcile
from integrations.models import ApiCall, Connection, Difference, Reconciliation
from scheduling.models import Appointment, ExternalId, Opening, Patient, Source, Writeback
from tests import factories
from tests.fixtures import sandbox as ehr

pytestmark = [pytest.mark.django_db, pytest.mark.process]

PATIENTS = 5000
PROVIDERS = 20
BUNDLE = 1000
ACCEPTED = {"status": "accepted"}


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ehr.Sandbox]:
    running = start_sandbox(
        database=tmp_path / "sandbox.sqlite3",
        arguments=["--client-id", ehr.CLIENT_ID],
        environment={"SANDBOX_CLIENT_SECRET": ehr.CLIENT_SECRET, "SANDBOX_CONTROL_TOKEN": ehr.CONTROL_TOKEN},
    )
    yield ehr.Sandbox(running.url)
    running.stop()


class Desk:
    """Somebody at the EHR itself, by its own FHIR interface."""

    def __init__(self, process: ehr.Sandbox) -> None:
        self.base, self.session = process.url, requests.Session()
        origin = process.url.removesuffix("/fhir")
        login = {"data": {"grant_type": "client_credentials"}, "auth": (ehr.CLIENT_ID, ehr.CLIENT_SECRET)}
        token = requests.post(f"{origin}/oauth/token", timeout=10, **login).json()["access_token"]
        self.session.headers["Authorization"] = f"Bearer {token}"

    def put(self, *resources: ehr.Resource) -> None:
        for each in resources:
            answer = self.session.put(f"{self.base}/Appointment/{each['id']}", json=each, timeout=10)
            assert answer.status_code in (200, 201), answer.text

    def delete(self, *resources: ehr.Resource) -> None:
        for each in resources:
            assert self.session.delete(f"{self.base}/Appointment/{each['id']}", timeout=10).status_code in (200, 204)


def visit(number: int, **fields: Any) -> ehr.Resource:
    """One visit each: twenty clinicians side by side, every half hour round the clock from tomorrow on."""
    start = ehr.start_of(0) - timedelta(days=3) + timedelta(minutes=30 * (number // PROVIDERS))
    times = {"start": start.isoformat(), "end": (start + timedelta(minutes=30)).isoformat()}
    provider = f"dr-{number % PROVIDERS}"
    return ehr.booking(f"v-{number}", who=f"p-{number}", provider=provider, **{**times, **fields})


def moved(number: int) -> ehr.Resource:
    """The same one in the week after all of them, when everybody is free."""
    late = visit(number + PROVIDERS * 48 * 10)
    return visit(number, start=late["start"], end=late["end"])


def with_another_provider(number: int) -> ehr.Resource:
    patient, _, place = visit(number)["participant"]
    return visit(number, participant=[patient, {"actor": {"reference": "Practitioner/dr-spare"}, **ACCEPTED}, place])


def practice(process: ehr.Sandbox) -> Connection:
    """The EHR with all of them, and our mirror as a load would leave it, written straight to the database."""
    process.load(ehr.location(), *(ehr.practitioner(f"dr-{each}") for each in (*range(PROVIDERS), "spare")))
    for first in range(0, PATIENTS, BUNDLE):
        numbers = range(first, first + BUNDLE)
        process.load(*(ehr.patient(f"p-{number}", number) for number in numbers))
        process.load(*(visit(number) for number in numbers))
    connection = process.connect()
    source, kinds = connection.source, ExternalId.Kind
    place = factories.location()
    clinicians = {f"dr-{each}": factories.provider() for each in (*range(PROVIDERS), "spare")}
    people = Patient.objects.bulk_create(Patient() for _ in range(PATIENTS))
    rows = Appointment.objects.bulk_create(
        Appointment(
            source=source,
            patient=people[number],
            provider=clinicians[f"dr-{number % PROVIDERS}"],
            location=place,
            status="booked",
            status_code="booked",
            start=datetime.fromisoformat(visit(number)["start"]),
            end=datetime.fromisoformat(visit(number)["end"]),
            type_system=ehr.TYPE_SYSTEM,
            type_code="FOLLOWUP",
        )
        for number in range(PATIENTS)
    )
    named = [(kinds.LOCATION, "elm", place), *((kinds.PROVIDER, name, row) for name, row in clinicians.items())]
    named += [(kinds.PATIENT, f"p-{number}", row) for number, row in enumerate(people)]
    named += [(kinds.APPOINTMENT, f"v-{number}", row) for number, row in enumerate(rows)]
    before = timezone.now() - timedelta(hours=1)
    ExternalId.objects.bulk_create(
        ExternalId(source=source, kind=kind, value=value, version="1", object_id=row.pk, seen_at=before)
        for kind, value, row in named
    )
    Connection.objects.filter(pk=connection.pk).update(loaded_at=before)
    return connection


def ours(source: Source, number: int, **fields: Any) -> Appointment:
    """A visit that we hold at the time of the EHR's ``number``, of a patient of theirs."""
    like = Appointment.objects.get(pk=ExternalId.objects.get(source=source, value=f"v-{number}").object_id)
    columns = {"source": source, "status": "booked", "start": like.start, "end": like.end, "location": like.location}
    patient = Patient.objects.exclude(pk=like.patient_id).order_by("pk").first()
    return Appointment.objects.create(**columns, patient=patient, provider=like.provider, **fields)


def test_exactly_what_differs_is_found(process: ehr.Sandbox) -> None:
    connection = practice(process)
    source = connection.source
    # Changed in the EHR, and told to nobody.
    desk = Desk(process)
    cancelled = [visit(number, status="cancelled") for number in (10, 1010, 4010)]
    later = [moved(number) for number in (20, 2020)]
    elsewhere = [with_another_provider(number) for number in (30, 3030)]
    new = [{**visit(number), "id": f"new-{number}"} for number in (40, 1040, 2040)]
    gone = [visit(number) for number in (60, 4060)]
    desk.put(*cancelled, *later, *elsewhere, *(visit(number, comment="Brings a form.") for number in (50, 4950)))
    process.load(*new)
    desk.delete(*gone)
    # Booked here, and never written there.
    unwritten = ours(source, 70, origin=Appointment.Origin.WAITLIST, reference="ABC234")
    Writeback.objects.create(
        source=source,
        appointment=unwritten,
        kind=Writeback.Kind.CREATE,
        status=Writeback.Status.DONE,
        due_at=timezone.now(),
        deadline_at=unwritten.start,
    )
    now = timezone.now()
    # The poll that would have found it has gone by.
    behind = now + timedelta(minutes=connection.poll_overlap_minutes + 1)
    Connection.objects.filter(pk=connection.pk).update(cursor=behind, reconcile_due_at=now)
    calls_before = ApiCall.objects.count()

    with CaptureQueriesContext(database) as queries:
        assert reconcile.take_up(connection.pk)

    run = Reconciliation.objects.get()
    assert (run.error, run.unreadable) == ("", 0)
    assert (run.compared, run.differing, run.missed) == (PATIENTS + len(new) + 1, 13, 12)
    found = Difference.objects.filter(state=Difference.State.OPEN)
    assert {each.subject: (each.kind, tuple(each.fields)) for each in found} == {
        **{f"ext:{each['id']}": ("differs", ("status",)) for each in cancelled},
        **{f"ext:{each['id']}": ("differs", ("time",)) for each in later},
        **{f"ext:{each['id']}": ("differs", ("provider",)) for each in elsewhere},
        **{f"ext:{each['id']}": ("missing_here", ()) for each in new},
        **{f"ext:{each['id']}": ("missing_there", ()) for each in gone},
        f"own:{unwritten.pk}": ("not_written", ()),
    }
    # Nothing was taken over but two versions that said nothing new, and nothing opened.
    assert Appointment.objects.filter(status="booked").count() == PATIENTS + 1
    assert not Opening.objects.exists()
    versions = Counter(ExternalId.objects.filter(value__in=("v-50", "v-4950")).values_list("version", flat=True))
    assert versions == {"2": 2}
    # Pages of 500, a question for each that was not met, the poll and a login: no call and no query for each visit.
    assert ApiCall.objects.count() - calls_before < 30
    assert len(queries) < 400
