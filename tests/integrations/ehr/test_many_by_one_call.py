"""Many changes cost few calls where the EHR takes that; each is dealt with by itself all the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations.ehr import event_leases, inbox, intake, load, pace, together
from integrations.ehr.fhir import many
from integrations.ehr.fhir.answers import Answer
from integrations.ehr.fhir.transport import Transport
from integrations.ehr.gateway import Malformed, NotFound, Unavailable, connect
from integrations.models import Connection, InboundEvent
from scheduling.models import Appointment, ExternalId, Opening
from tests.fixtures import sandbox as ehr

pytestmark = pytest.mark.django_db

#: The EHR takes so many calls a minute.
LIMIT = 60


@pytest.fixture
def limited(sandbox: ehr.Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Connection]:
    """Return a function that connects us to an EHR with so many booked visits and a limit of calls, all loaded.

    Our own pace runs sixty times as fast, so that nobody waits; the EHR counts its whole minute.
    """
    spaced = pace._interval
    monkeypatch.setattr(pace, "_interval", lambda per_minute: spaced(per_minute) / 60)

    def make(count: int, **fields: Any) -> Connection:
        sandbox.small_clinic()
        sandbox.load(*(visit(number) for number in range(count)))
        row = sandbox.connect(calls_per_minute=LIMIT, **fields)
        load.load(row.pk)
        row.refresh_from_db()
        _ = connect(row).capabilities
        sandbox.control.post("settings", {"rate_limit": LIMIT})
        return row

    return make


def visit(number: int, **fields: Any) -> ehr.Resource:
    """A visit of patient 1 with Dr. Ana at a time of its own."""
    return ehr.booking(f"b-{number}", number, **fields)


def cancelled(number: int) -> ehr.Resource:
    reason = {"coding": [{"system": ehr.REASON_SYSTEM, "code": "pat"}]}
    return visit(number, status="cancelled", cancelationReason=reason)


def tell(connection: Connection, *numbers: int, kind: str = "Appointment", name: str = "b-") -> None:
    """Notify us by ids, as a subscription by topic does."""
    for number in numbers:
        notice = {"resourceType": kind, "id": f"{name}{number}"}
        intake.receive(connection, via="webhook", body=json.dumps(notice).encode(), payload=notice)


def outcomes() -> list[str]:
    return list(InboundEvent.objects.order_by("pk").values_list("outcome", flat=True))


def calls_since(sandbox: ehr.Sandbox, before: int) -> list[str]:
    return [f"{each['method']} {each['path']}" for each in sandbox.calls()[before:]]


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.process)])
def test_a_burst_of_changes_keeps_to_the_limit_and_none_is_missed_or_repeated(
    sandbox: ehr.Sandbox, limited: Callable[..., Connection], work_inbox: Callable[[], int], count: int
) -> None:
    connection = limited(count)
    gone = range(0, count, count // 4)  # four cancellations far apart; the other patients have arrived
    for number in range(count):
        sandbox.change(cancelled(number) if number in gone else visit(number, status="arrived"))
    before = len(sandbox.calls())
    tell(connection, *range(count), *range(5))  # five are told twice
    while work_inbox():
        pass
    asked = sandbox.calls()[before:]
    assert len(asked) == -(-count // together.MOST)
    assert {each["status"] for each in asked} == {200}
    assert Appointment.objects.filter(status="arrived").count() == count - 4
    assert Opening.objects.count() == 4
    assert dict.fromkeys(outcomes()) == dict.fromkeys(
        ["mirror brought up to date; 1 opening", "mirror brought up to date; no opening"]
    )
    assert set(InboundEvent.objects.values_list("status", "attempts")) == {("done", 1)}
    assert not ExternalId.objects.filter(kind="appointment").exclude(version="2").exists()


def test_what_is_gone_or_cannot_be_read_leaves_the_rest_alone(
    sandbox: ehr.Sandbox, limited: Callable[..., Connection], work_inbox: Callable[[], int]
) -> None:
    connection = limited(6)
    for number in range(6):
        sandbox.change(visit(number, status="arrived"))
    sandbox.change(visit(2, status="arrived", start="whenever"))
    connect(connection).transport.write("DELETE", "Appointment/b-3", None)
    before = len(sandbox.calls())
    tell(connection, *range(6), 77)
    work_inbox()
    assert calls_since(sandbox, before) == ["POST /fhir"]
    assert outcomes() == [
        "mirror brought up to date; no opening",
        "mirror brought up to date; no opening",
        "its start is not a date with a time",
        "deleted in the EHR; 1 opening",
        "mirror brought up to date; no opening",
        "mirror brought up to date; no opening",
        "the EHR no longer has it, and we never had it",
    ]
    assert InboundEvent.objects.get(status="quarantined").subject_key == "Appointment/b-2"
    assert Appointment.objects.filter(status="arrived").count() == 4


def test_a_batch_that_fails_leaves_each_to_a_call_of_its_own(
    sandbox: ehr.Sandbox, limited: Callable[..., Connection], work_inbox: Callable[[], int]
) -> None:
    connection = limited(3)
    for number in range(3):
        sandbox.change(visit(number, status="arrived"))
    sandbox.fault("html-200", method="POST")
    before = len(sandbox.calls())
    tell(connection, *range(3))
    work_inbox()
    assert calls_since(sandbox, before) == ["POST /fhir", *(f"GET /fhir/Appointment/b-{each}" for each in range(3))]
    assert Appointment.objects.filter(status="arrived").count() == 3


def test_while_the_ehr_is_down_all_wait_and_no_try_is_counted(
    sandbox: ehr.Sandbox, limited: Callable[..., Connection], work_inbox: Callable[[], int]
) -> None:
    connection = limited(3)
    sandbox.fault("503-html", count=None)
    before = len(sandbox.calls())
    tell(connection, *range(3))
    work_inbox()
    assert len(calls_since(sandbox, before)) == 1
    assert set(InboundEvent.objects.values_list("status", "attempts")) == {("received", 0)}


def test_what_a_worker_that_died_had_taken_is_dealt_with_again_one_by_one(
    sandbox: ehr.Sandbox, limited: Callable[..., Connection], work_inbox: Callable[[], int]
) -> None:
    connection = limited(3)
    for number in range(3):
        sandbox.change(visit(number, status="arrived"))
    tell(connection, *range(3))
    first = event_leases.lease(event_leases.due()[0])
    assert first is not None
    assert len(together.company(first)) == 2
    assert work_inbox() == 0
    InboundEvent.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    before = len(sandbox.calls())
    work_inbox()
    assert sorted(calls_since(sandbox, before)) == [f"GET /fhir/Appointment/b-{each}" for each in range(3)]
    assert set(InboundEvent.objects.values_list("status", "attempts")) == {("done", 2)}
    assert Appointment.objects.filter(status="arrived").count() == 3


def test_what_was_tried_before_takes_no_other_along(limited: Callable[..., Connection]) -> None:
    connection = limited(3)
    tell(connection, 0)
    InboundEvent.objects.update(attempts=1)
    tell(connection, 1, 2)
    tried = event_leases.lease(event_leases.due()[0])
    assert tried is not None
    assert together.company(tried) == []
    first = event_leases.lease(event_leases.due()[0])
    assert first is not None
    assert len(together.company(first)) == 1


def test_an_event_lost_to_another_worker_is_left_to_it_and_a_later_look_stands(
    sandbox: ehr.Sandbox, limited: Callable[..., Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is old by the time it is used: what was seen meanwhile stays, and who has the event deals with it."""
    connection = limited(3)
    tell(connection, *range(3))
    asked = together.ask

    def slowly(events: list[InboundEvent]) -> together.Answers:
        answers = asked(events)
        answers.asked_at -= timedelta(minutes=1)
        InboundEvent.objects.filter(subject_key="Appointment/b-1").update(lease_until=timezone.now(), attempts=2)
        for each in events:
            each.lease_until = timezone.now()
        ExternalId.objects.filter(value="b-2").update(version="later", seen_at=timezone.now() - timedelta(seconds=30))
        return answers

    ExternalId.objects.update(seen_at=timezone.now() - timedelta(hours=1))
    monkeypatch.setattr(together, "ask", slowly)
    inbox.process(event_leases.due()[0])
    assert outcomes() == ["we had this version; no opening", "", "we knew something newer; no opening"]
    assert ExternalId.objects.get(value="b-1").seen_at < timezone.now() - timedelta(minutes=59)


def test_a_patient_is_fetched_together_with_patients(
    sandbox: ehr.Sandbox, limited: Callable[..., Connection], work_inbox: Callable[[], int]
) -> None:
    connection = limited(2)
    before = len(sandbox.calls())
    tell(connection, 1, 2, 3, kind="Patient", name="patient-")
    tell(connection, 0, 1)
    work_inbox()
    assert calls_since(sandbox, before) == ["POST /fhir"] * 2
    assert outcomes() == ["patient brought up to date"] * 3 + ["we had this version; no opening"] * 2


def test_without_a_limit_a_few_are_fetched_alone_and_many_together(
    sandbox: ehr.Sandbox,
    limited: Callable[..., Connection],
    work_inbox: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = limited(4)
    Connection.objects.update(calls_per_minute=None)
    before = len(sandbox.calls())
    tell(connection, 0, 1)
    work_inbox()
    assert len(calls_since(sandbox, before)) == 2
    monkeypatch.setattr(together, "MANY", 2)
    tell(connection, 2, 3)
    work_inbox()
    assert calls_since(sandbox, before)[2:] == ["POST /fhir"]


@pytest.mark.parametrize("sandbox", ["oracle", "argonaut", "athena"], indirect=True)
def test_where_no_batches_are_taken_a_search_by_ids_proves_no_absence(
    sandbox: ehr.Sandbox, limited: Callable[..., Connection], work_inbox: Callable[[], int]
) -> None:
    kind = sandbox._server.application.dialect.name  # type: ignore[union-attr]
    connection = limited(3, kind=kind, practice_number="195900")
    for number in range(3):
        sandbox.change(visit(number, status="arrived"))
    before = len(sandbox.calls())
    tell(connection, *range(3), 77)
    work_inbox()
    assert calls_since(sandbox, before) == ["GET /fhir/Appointment", "GET /fhir/Appointment/b-77"]
    assert Appointment.objects.filter(status="arrived").count() == 3
    assert outcomes()[-1] == "the EHR no longer has it, and we never had it"


@pytest.mark.parametrize("sandbox", ["oracle"], indirect=True)
def test_a_search_that_ignores_the_ids_is_read_no_further(
    sandbox: ehr.Sandbox, limited: Callable[..., Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pages would be the whole calendar, again for every few changes."""
    connection = limited(6, kind="oracle")
    usual, before = Transport.read, len(sandbox.calls())
    days = [("patient", "patient-1"), ("date", f"ge{ehr.day():%Y-%m-%d}"), ("_count", "2")]
    monkeypatch.setattr(Transport, "read", lambda self, path, _: usual(self, path, days))
    with pytest.raises(Malformed, match="found others too"):
        many.ask(Transport(connection), "ids", "Appointment", ["b-4", "b-5"])
    assert len(calls_since(sandbox, before)) == 1


def answered(monkeypatch: pytest.MonkeyPatch, bundle: Any) -> None:
    answer = Answer(200, {}, json.dumps(bundle).encode(), timezone.now())
    monkeypatch.setattr(Transport, "ask", lambda *_: answer)


def read(external_id: str, status: Any = "200 OK", **more: Any) -> dict[str, Any]:
    resource = {"resourceType": "Appointment", "id": external_id}
    return {"resource": resource, "response": {"status": status, "etag": 'W/"7"'}, **more}


@pytest.mark.parametrize(
    ("entries", "certain"),
    [
        ([read("a"), read("b")], {"a": "7", "b": "7"}),
        ([read("b"), read("a")], {}),  # in another order, whose answer an error would be cannot be told
        ([read("a")], {}),
        ([read("a"), "b"], {"a": "7"}),
        ([read("a"), {"response": {"status": "404"}}], {"a": "7", "b": "gone"}),
        ([read("a"), {"response": {"status": "410 Gone"}}], {"a": "7", "b": "gone"}),
        ([read("a"), {"response": {"status": "429"}}], {"a": "7"}),
        ([read("a"), {"response": {"status": "503"}}], {"a": "7"}),
        ([read("a", status=200), read("b")], {"b": "7"}),
        ([{**read("a"), "resource": {"resourceType": "OperationOutcome"}}, read("b")], {"b": "7"}),
    ],
)
def test_what_an_answer_to_a_batch_says_beyond_doubt(
    sandbox: ehr.Sandbox, monkeypatch: pytest.MonkeyPatch, entries: list[Any], certain: dict[str, str]
) -> None:
    answered(monkeypatch, {"resourceType": "Bundle", "type": "batch-response", "entry": entries})
    found = many.ask(Transport(sandbox.connect()), "batch", "Appointment", ["a", "b", "no/id"])
    assert {key: "gone" if isinstance(each, NotFound) else each[1] for key, each in found.items()} == certain


@pytest.mark.parametrize("bundle", [{"resourceType": "Bundle", "type": "searchset"}, {"resourceType": "Patient"}])
def test_what_is_no_answer_to_a_batch(sandbox: ehr.Sandbox, monkeypatch: pytest.MonkeyPatch, bundle: Any) -> None:
    answered(monkeypatch, bundle)
    with pytest.raises(Malformed):
        many.ask(Transport(sandbox.connect()), "batch", "Appointment", ["a"])


def test_a_lost_answer_to_a_question_is_no_unknown_outcome(sandbox: ehr.Sandbox) -> None:
    connection = sandbox.connect()
    connect(connection).transport.read("metadata")
    sandbox.fault("500", method="POST")
    with pytest.raises(Unavailable):
        Transport(connection).ask("", {"resourceType": "Bundle", "type": "batch", "entry": []})
