"""A status, type or reason that nobody mapped is kept, counted and shown once; nobody is offered its time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from integrations import discovered, mapping
from integrations.ehr import load
from integrations.meanings import Key
from integrations.models import CodeMapping, Connection
from scheduling import worklist
from scheduling.models import Appointment, Location, Opening, WorkItem
from scheduling.worklist import actions_for
from tests import factories
from tests.fixtures import sandbox as ehr
from tests.integrations.ehr import signing

pytestmark = pytest.mark.django_db


def tell(connection: Connection, version: int) -> None:
    body = f'{{"resourceType": "Appointment", "id": "b-1", "meta": {{"versionId": "{version}"}}}}'.encode()
    signing.send(connection, body)


def coded(code: str, system: str = "urn:example:codes") -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": "As the EHR shows it"}]}


@pytest.fixture
def cancel(sandbox: ehr.Sandbox, connection: Connection, work_inbox: Callable[[], int]) -> Callable[..., Appointment]:
    """Book, then store the appointment as the EHR would after cancelling it."""

    def run(**fields: Any) -> Appointment:
        sandbox.load(ehr.booking("b-1", **{key: value for key, value in fields.items() if key == "appointmentType"}))
        tell(connection, 1)
        work_inbox()
        sandbox.change(ehr.booking("b-1", **{"status": "cancelled", **fields}))
        tell(connection, 2)
        work_inbox()
        return Appointment.objects.get()

    return run


def test_an_unknown_reason_holds_the_time_for_a_person(cancel: Callable[..., Appointment]) -> None:
    row = cancel(cancelationReason=coded("ZZ-LEGACY-17"))
    assert (row.status, row.reason_code) == ("cancelled", "ZZ-LEGACY-17")
    assert Opening.objects.get().held == "reason"
    code = CodeMapping.objects.get(domain="reason", code="ZZ-LEGACY-17")
    assert (code.state, code.display) == ("unmapped", "As the EHR shows it")
    assert set(WorkItem.objects.values_list("kind", flat=True)) == {"mapping.reason", "opening.reason"}


def test_an_unknown_type_holds_the_time_for_a_person(cancel: Callable[..., Appointment]) -> None:
    row = cancel(appointmentType=coded("LUNCH"), cancelationReason=coded("pat", ehr.REASON_SYSTEM))
    assert (row.type_code, row.appointment_type) == ("LUNCH", None)
    opening = Opening.objects.get()
    assert opening.held == "type"
    held = opening.timeline.get(kind="opening.held").summary
    assert held == "Held: the kind of visit is not mapped: nobody knows what this time was for"
    item = WorkItem.objects.get(kind="opening.type")
    assert item.title == "Time was freed whose kind of visit is not mapped"
    assert "Mapping the type decides it for good" in item.advice
    assert [action.slug for action in actions_for(item)] == ["offer", "close"]
    assert not WorkItem.objects.filter(kind="opening.reason").exists()
    assert WorkItem.objects.get(kind="mapping.type").subject_id == CodeMapping.objects.get(code="LUNCH").pk


def test_an_unknown_reason_and_an_unknown_type_ask_one_question(cancel: Callable[..., Appointment]) -> None:
    cancel(appointmentType=coded("LUNCH"), cancelationReason=coded("ZZ-LEGACY-17"))
    assert Opening.objects.get().held == "reason"
    assert WorkItem.objects.filter(kind__startswith="opening.").count() == 1


def test_an_unknown_status_frees_nothing(
    sandbox: ehr.Sandbox, connection: Connection, work_inbox: Callable[[], int]
) -> None:
    sandbox.load(ehr.booking("b-1"))
    tell(connection, 1)
    work_inbox()
    sandbox.change(ehr.booking("b-1", status="rescinded"))
    tell(connection, 2)
    work_inbox()
    row = Appointment.objects.get()
    assert (row.status, row.status_code) == ("unknown", "rescinded")
    assert not Opening.objects.exists()
    assert WorkItem.objects.get().kind == "mapping.status"


@pytest.mark.parametrize(
    ("reason", "opens"),
    [("pat", True), ("pat-crt", True), ("prov", False), ("prov-pers", False), ("maint", False)],
)
def test_hl7s_own_reasons_need_no_mapping(cancel: Callable[..., Appointment], reason: str, opens: bool) -> None:
    CodeMapping.objects.filter(domain="reason").delete()
    cancel(cancelationReason=coded(reason, ehr.REASON_SYSTEM))
    assert [opening.held for opening in Opening.objects.all()] == ([""] if opens else [])
    assert not WorkItem.objects.exists()


def test_what_the_practice_says_overrules_hl7(cancel: Callable[..., Appointment], connection: Connection) -> None:
    mapping.map_code(connection, "reason", ehr.REASON_SYSTEM, "pat", CodeMapping.NOT_REBOOKABLE)
    cancel(cancelationReason=coded("pat", ehr.REASON_SYSTEM))
    assert not Opening.objects.exists()


@pytest.mark.parametrize(
    ("kind", "system", "code", "target", "here", "elsewhere"),
    [
        ("status", "", "cancelled", "bumped", ("bumped", []), ("cancelled", [""])),
        ("reason", ehr.REASON_SYSTEM, "pat", CodeMapping.NOT_REBOOKABLE, ("cancelled", []), ("cancelled", [""])),
        ("type", "urn:example:codes", "LUNCH", "follow-up", ("cancelled", [""]), ("cancelled", ["type"])),
    ],
)
@pytest.mark.parametrize("is_here", [True, False], ids=["here", "elsewhere"])
def test_what_comes_from_a_department_means_what_it_means_there(
    cancel: Callable[..., Appointment],
    connection: Connection,
    kind: str,
    system: str,
    code: str,
    target: str,
    here: tuple[str, list[str]],
    elsewhere: tuple[str, list[str]],
    is_here: bool,
) -> None:
    place = Location.objects.get() if is_here else factories.location()
    mapping.map_code(connection, kind, system, code, target, location=place)
    of_type = {"appointmentType": coded("LUNCH")} if kind == "type" else {}
    row = cancel(cancelationReason=coded("pat", ehr.REASON_SYSTEM), **of_type)
    assert (row.status, [opening.held for opening in Opening.objects.all()]) == (here if is_here else elsewhere)


@pytest.mark.parametrize(("setting", "held"), [("offer", [""]), ("staff", ["reason"]), ("nothing", [])])
def test_a_cancellation_without_a_reason_follows_the_connection(
    cancel: Callable[..., Appointment], setting: str, held: list[str]
) -> None:
    Connection.objects.update(missing_reason=setting)
    cancel()
    assert [opening.held for opening in Opening.objects.all()] == held


def test_a_reason_in_free_text_is_not_kept(cancel: Callable[..., Appointment]) -> None:
    row = cancel(cancelationReason={"text": "Robin Sample is in hospital"})
    assert row.reason_code == "(free text)"
    assert Opening.objects.get().held == "reason"
    assert "Robin" not in str(list(CodeMapping.objects.values()) + list(WorkItem.objects.values()))


def test_a_type_in_free_text_holds_the_time_and_nobody_is_asked_to_map_it(cancel: Callable[..., Appointment]) -> None:
    """The mapper could not show it: nothing of it is kept."""
    row = cancel(appointmentType={"text": "Robin Sample, knee"}, cancelationReason=coded("pat", ehr.REASON_SYSTEM))
    assert (row.type_code, Opening.objects.get().held) == ("(free text)", "type")
    assert not CodeMapping.objects.filter(code="(free text)").exists()
    assert [item.kind for item in WorkItem.objects.all()] == ["opening.type"]


def test_a_code_is_asked_about_once_and_settled_for_all(
    sandbox: ehr.Sandbox, connection: Connection, work_inbox: Callable[[], int]
) -> None:
    book = mapping.CodeBook(connection)
    for _ in range(3):
        assert book.reason("urn:x", "X1", "An x") == "unmapped"
        book.flush()
    assert CodeMapping.objects.get(code="X1").state == "unmapped"
    item = WorkItem.objects.get()
    assert (item.status, item.times_seen) == ("open", 3)
    mapping.map_code(connection, "reason", "urn:x", "X1", CodeMapping.REBOOKABLE, by="clerk")
    item.refresh_from_db()
    assert (item.status, item.done_by) == ("done", "clerk")
    assert mapping.CodeBook(connection).reason("urn:x", "X1", "") == "rebookable"


@pytest.mark.parametrize(("domain", "target"), [("reason", "maybe"), ("type", "no-such-type"), ("status", "unknown")])
def test_a_code_cannot_mean_what_does_not_exist(connection: Connection, domain: str, target: str) -> None:
    with pytest.raises(ValueError, match="not something"):
        mapping.map_code(connection, domain, "urn:x", "X1", target)
    assert not CodeMapping.objects.filter(code="X1").exists()


def test_a_load_of_many_appointments_asks_about_a_code_once(sandbox: ehr.Sandbox) -> None:
    sandbox.small_clinic()
    sandbox.load(*(ehr.booking(f"b-{n}", n, appointmentType=coded("LUNCH")) for n in range(6)))
    connection = sandbox.connect()
    load.load(connection.pk)
    assert WorkItem.objects.get(kind="mapping.type").times_seen == 1


def test_how_often_a_code_came_is_how_many_carry_it_now_wherever_it_is_shown(
    sandbox: ehr.Sandbox, connection: Connection, work_inbox: Callable[[], int]
) -> None:
    """Reading the same visit again and again makes its code no more frequent."""
    sandbox.load(*(ehr.booking(f"b-{n}", n, appointmentType=coded("LUNCH")) for n in range(2)))
    for _ in range(3):
        load.load(connection.pk)
        for number in range(2):
            sandbox.change(ehr.booking(f"b-{number}", number, appointmentType=coded("LUNCH")))
    (item,) = worklist.with_times(WorkItem.objects.filter(kind="mapping.type"))
    key = Key("type", "urn:example:codes", "LUNCH")
    assert discovered.counts(connection, "type")[key] == 2
    assert discovered.seen(connection, "type")[key].count == 2
    assert item.times_seen == 2
    Appointment.objects.all().delete()
    (item,) = worklist.with_times(WorkItem.objects.filter(kind="mapping.type"))
    assert (item.times_seen, discovered.seen(connection, "type")[key].count) == (0, 0)
