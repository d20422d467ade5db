"""The last 90 days' cancellations: read week by week, judged by today's waitlist, mirrored and opened never."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations import sweep, tasks
from integrations.ehr import history, mirroring
from integrations.ehr.gateway import Capabilities, connect
from integrations.models import CodeMapping, Connection
from scheduling.models import Appointment, AppointmentType, Location, Opening, Patient, Provider
from tests import factories
from tests.fixtures import sandbox as ehr
from waitlist.models import Offer, PastCancellation

pytestmark = pytest.mark.django_db


@pytest.fixture
def connection(sandbox: ehr.Sandbox, connection: Connection) -> Connection:
    """Dr. Ana takes follow-ups, and two patients wait for one."""
    kind = AppointmentType.objects.get(code="follow-up")
    factories.bookable(Provider.objects.get(name__contains="Ana"), Location.objects.get(), kind)
    for person in Patient.objects.order_by("pk")[1:]:
        factories.entry(person, kind)
        for contact in person.contact_points.all():
            factories.consents(contact)
    return connection


def coded(code: str, system: str = ehr.REASON_SYSTEM) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def past(external: str, days: int, *, status: str = "cancelled", notice: float = 48, **fields: Any) -> ehr.Resource:
    """An appointment at 16:00 UTC some days ago, last changed so many hours before."""
    start = timezone.now().replace(hour=16, minute=0, second=0, microsecond=0) - timedelta(days=days)
    meta = {"lastUpdated": (start - timedelta(hours=notice)).isoformat()}
    times = {"start": start.isoformat(), "end": (start + timedelta(minutes=30)).isoformat()}
    return ehr.booking(external, status=status, meta=meta, **{**times, **fields})


def read(connection: Connection) -> history.HistoryProgress:
    assert history.ask(connection)
    for _ in range(20):
        tasks.drain_loads()
    connection.refresh_from_db()
    progress = history.progress_of(connection)
    assert progress is not None
    return progress


def verdicts() -> dict[str, tuple[str, str, int]]:
    rows = PastCancellation.objects.order_by("external_id")
    return {row.external_id: (row.verdict, row.became, row.suited) for row in rows}


def test_each_cancellation_says_what_would_have_come_of_it_and_what_did(
    sandbox: ehr.Sandbox, connection: Connection
) -> None:
    before = Appointment.objects.count()
    stranger = [
        {"actor": {"reference": each}, "status": "accepted"}
        for each in ("Patient/nobody-knows", "Practitioner/ana", "Location/elm")
    ]
    elsewhere = [
        {"actor": {"reference": each}, "status": "accepted"}
        for each in ("Patient/patient-1", "Practitioner/nobody-knows", "Location/elm")
    ]
    sandbox.load(
        past("a-suits", 80),
        past("b-refilled", 70),
        past("b-after", 70, status="fulfilled", who="patient-2"),
        past("c-reason", 60, cancelationReason=coded("ZZ-1")),
        past("d-closed", 50, cancelationReason=coded("prov")),
        past("e-type", 40, appointmentType=coded("LUNCH", ehr.TYPE_SYSTEM)),
        past("f-notice", 30, notice=0.25),
        past("g-changed-later", 20, notice=-5),
        past("h-stranger", 15, participant=stranger),
        past("i-off", 10, provider="ben"),
        past("j-too-old", 95),
        past("k-place", 5, participant=elsewhere),
    )
    progress = read(connection)
    assert (progress.share, progress.error, progress.read, progress.cancelled) == (1.0, "", 11, 10)
    assert verdicts() == {
        "a-suits": ("offered", "wasted", 2),
        "b-refilled": ("offered", "refilled", 2),
        "c-reason": ("reason", "wasted", 0),
        "d-closed": ("closed", "wasted", 0),
        "e-type": ("type", "wasted", 0),
        "f-notice": ("notice", "wasted", 0),
        "g-changed-later": ("after", "wasted", 0),
        "h-stranger": ("patient", "wasted", 0),
        "i-off": ("off", "wasted", 0),
        "k-place": ("place", "wasted", 0),
    }
    assert set(CodeMapping.objects.filter(state="unmapped").values_list("code", flat=True)) == {"ZZ-1", "LUNCH"}
    assert (Appointment.objects.count(), Opening.objects.count(), Offer.objects.count()) == (before, 0, 0)
    assert not [each for each in sandbox.calls() if each["method"] != "GET" and "token" not in each["path"]]


@pytest.mark.parametrize(("apart", "verdict"), [(4, "day"), (8, "offered"), (40, "offered")])
def test_a_day_of_a_clinician_who_fell_ill_would_not_have_been_offered(
    sandbox: ehr.Sandbox, connection: Connection, apart: float, verdict: str
) -> None:
    for number in range(3):
        record = past(f"ill-{number}", 30, notice=48 - apart / 60 * number)
        for name in ("start", "end"):
            moment = datetime.fromisoformat(record[name]) + timedelta(minutes=45 * number)
            record[name] = moment.isoformat()
        sandbox.load(record)
    read(connection)
    assert {told for told, _, _ in verdicts().values()} == {verdict}


def test_it_goes_on_where_the_ehr_stopped_answering(sandbox: ehr.Sandbox, connection: Connection) -> None:
    sandbox.load(past("a", 88), past("b", 3))
    history.ask(connection)
    assert history.take_up(connection.pk)
    reached = connection.__class__.objects.get().history_progress["reached"]
    sandbox.fault("500", path="Appointment", method="GET")
    history.take_up(connection.pk)
    connection.refresh_from_db()
    progress = history.progress_of(connection)
    assert progress is not None
    assert (progress.error, progress.reached, progress.ended_at) == ("unavailable", reached, "")
    assert history.due() == []
    assert not history.ask(connection), "it is being read"
    sandbox.heal()
    Connection.objects.update(quiet_until=None, history_due_at=timezone.now())
    assert "loads" in sweep.sweep()
    for _ in range(20):
        tasks.drain_loads()
    assert set(verdicts()) == {"a", "b"}
    assert "loads" not in sweep.sweep()


def test_a_second_reading_forgets_what_the_ehr_no_longer_shows(sandbox: ehr.Sandbox, connection: Connection) -> None:
    sandbox.load(past("a", 5))
    read(connection)
    sandbox.change(past("a", 5, status="fulfilled"))
    read(connection)
    assert verdicts() == {}


@pytest.mark.process
def test_the_ninety_day_run_on_the_sandbox_clinics_own_history(sandbox: ehr.Sandbox, db: None) -> None:
    sandbox.control.post("reset")
    row = sandbox.connect()
    _mirror_all_but_appointments(row)
    kind = AppointmentType.objects.get(code="follow-up")
    for provider in Provider.objects.all():
        for place in Location.objects.all():
            factories.bookable(provider, place, kind)
    factories.entry(factories.patient(), kind)
    progress = read(row)
    assert (progress.error, progress.unreadable) == ("", 0)
    assert progress.cancelled == PastCancellation.objects.count() > 150
    assert PastCancellation.objects.earliest("start").start < timezone.now() - timedelta(days=80)
    found = Counter((verdict, became) for verdict, became, _ in verdicts().values())
    assert found["offered", "wasted"] > 10
    assert found["offered", "refilled"] > 0
    assert found["type", "wasted"] > 0, "nurse visits are not mapped"
    assert found["reason", "wasted"] > 0, "ZZ-LEGACY-17 is not mapped"
    assert {verdict for verdict, _ in found} <= {"offered", "type", "reason", "closed", "ask", "notice"}
    assert Opening.objects.count() == 0


def _mirror_all_but_appointments(connection: Connection) -> None:
    gateway = connect(connection)
    for kind in ("location", "provider", "patient"):
        for page in gateway.load(kind):  # type: ignore[arg-type]
            mirroring.apply_in_bulk(connection.source, page.records, timezone.now())


def test_an_ehr_that_lists_none_is_told_apart(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(connect(connection)), "known_better", {"lists_cancelled": False})
    assert Capabilities().lists_cancelled
    progress = read(connection)
    assert progress.error == "rejected"
    assert progress.ended_at


def test_a_fault_of_ours_is_not_run_into_again_at_each_sweep(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert history.ask(connection)
    with monkeypatch.context() as broken:
        broken.setattr("integrations.ehr.history._had_by_others", _fail)
        tasks.drain_loads()
    assert "loads" not in sweep.sweep()
    assert history.due(timezone.now() + timedelta(minutes=6)) == [connection.pk]


def _fail(*_: object) -> None:
    raise RuntimeError("a record that we trip over")
