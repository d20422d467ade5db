"""What pays for a visit is read from the EHR for those who wait for one that needs it, and decides who gets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import time, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from auditlog.models import LogEntry
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from config.logs import ConsoleFormatter, JsonFormatter
from integrations import discovered, mapping, mapping_effects, mapping_mirror
from integrations.draining import drain
from integrations.ehr import checking, coverage, load, pace
from integrations.ehr.fhir import capabilities
from integrations.ehr.fhir.adapter import FhirGateway
from integrations.ehr.gateway import GatewayError, LoginRefused, NotFound, Rejected, connect
from integrations.models import CallPace, CodeMapping, Connection, CoverageRead, InboundEvent
from scheduling import coverages
from scheduling.contention import DEADLOCK
from scheduling.models import (
    AppointmentType,
    Coverage,
    ExternalId,
    LocationAccess,
    Opening,
    Patient,
    Plan,
    Source,
    WorkItem,
)
from scheduling.openings import record_check
from scheduling.records import Freshness, Interval
from tests import factories
from tests.fixtures import sandbox as ehr
from tests.integrations.ehr import signing
from tests.race import ended_by_the_database
from waitlist import attention, explain, offers
from waitlist.models import WaitlistEntry

pytestmark = [pytest.mark.django_db, pytest.mark.long]

PLAN_CLASS = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/coverage-class", "code": "plan"}]}
ACME = "Organization/acme"
EVERYBODY = ("patient-1", "patient-2", "patient-3")


def insurance(external: str, who: str = "patient-1", value: str = "PPO-1", **fields: Any) -> ehr.Resource:
    """A coverage as US Core has it: one payor, a plan, in force since January."""
    return {
        "resourceType": "Coverage",
        "id": external,
        "status": "active",
        "beneficiary": {"reference": f"Patient/{who}"},
        "relationship": {"coding": [{"code": "self"}]},
        "period": {"start": f"{timezone.now().year}-01-01"},
        "payor": [{"reference": ACME, "display": "Acme"}],
        "class": [{"type": PLAN_CLASS, "value": value, "name": "Open PPO"}],
        "order": 1,
        **fields,
    }


def in_days(days: int) -> str:
    return (timezone.now().date() + timedelta(days=days)).isoformat()


@pytest.fixture
def kind(connection: Connection) -> AppointmentType:
    """A kind of visit that needs insurance."""
    AppointmentType.objects.filter(code="follow-up").update(needs_insurance=True)
    return AppointmentType.objects.get(code="follow-up")


@pytest.fixture
def plan(db: None) -> Plan:
    return Plan.objects.create(code="acme-ppo", name="Acme Open PPO")


def known_as(connection: Connection, external: str) -> Patient:
    name = ExternalId.objects.get(source=connection.source, kind="patient", value=external)
    return Patient.objects.get(pk=name.object_id)


@pytest.fixture
def wait(connection: Connection, kind: AppointmentType) -> Callable[..., WaitlistEntry]:
    def add(external: str = "patient-1", **fields: Any) -> WaitlistEntry:
        who = known_as(connection, external)
        Patient.objects.filter(pk=who.pk).update(established=True)
        for contact in who.contact_points.all():
            factories.consents(contact)
        return factories.entry(who, kind, **fields)

    return add


def read(connection: Connection) -> int:
    """Ask for insurance as the task does; returns how many connections were read to the end."""
    return drain("polls", coverage.due, coverage.read)


def asked(sandbox: ehr.Sandbox) -> list[str]:
    """Whose insurance the EHR was asked for, by searches of their own."""
    return [each["query"] if "query" in each else each["path"] for each in sandbox.calls("/fhir/Coverage")]


def declare(connection: Connection, **fields: Any) -> None:
    """Have the EHR declare something else, as it was last asked."""
    connection.refresh_from_db()
    declared = connect(connection).capabilities
    capabilities.keep(connection, replace(declared, **fields))


def no_batches(connection: Connection) -> None:
    declare(connection, reads_many="")


def apply_mappings() -> None:
    drain("mappings", mapping_mirror.due, mapping_mirror.apply)
    attention.drain()


def look(opening: Opening) -> int:
    """Take a fresh look and send the wave, as the worker does; returns how many offers went out."""
    opening.refresh_from_db()
    freshness = Freshness(timezone.now(), (Interval(opening.start, opening.end),), ())
    with transaction.atomic():
        return offers.send_wave(opening, timezone.now()) if record_check(opening, freshness) else 0


@pytest.fixture
def opening(connection: Connection, kind: AppointmentType, plan: Plan) -> Opening:
    """Free time of a clinician who takes the plan, open for a while."""
    provider, place = factories.provider(), factories.location()
    provider.plans.add(plan)
    factories.bookable(provider, place, kind)
    # Whatever the hour, somebody is there to call.
    factories.policy(quiet_from="00:00", quiet_until="00:00")
    factories.practice(office_days="1234567", office_opens=time(0), office_closes=time.max)
    row = factories.opening(provider, place, start=ehr.day(), source=connection.source)
    Opening.objects.filter(pk=row.pk).update(created_at=timezone.now() - timedelta(minutes=5))
    return Opening.objects.get(pk=row.pk)


def reasons(opening: Opening, entry: WaitlistEntry) -> tuple[bool, list[str]]:
    verdict, _ = explain.why_not(opening, entry)
    return verdict.eligible, verdict.codes


# --- the whole way --------------------------------------------------------------------------------------------------


def test_mapping_a_plan_releases_whoever_waited_for_it_and_unmapping_does_the_reverse(
    sandbox: ehr.Sandbox, connection: Connection, plan: Plan, wait: Callable[..., WaitlistEntry], opening: Opening
) -> None:
    """From the EHR to an offer: unknown, called by a person, mapped, offered by text; withdrawn when it is unmapped."""
    sandbox.load(insurance("c-1"))
    entry = wait()
    assert read(connection) == 1
    assert reasons(opening, entry) == (True, ["insurance_unknown"])
    ((key, found),) = discovered.seen(connection, "plan").items()
    assert (key.system, key.code, found.display, found.count) == (ACME, "PPO-1", "Acme: Open PPO", 1)
    assert WorkItem.objects.get(kind="mapping.plan").status == "open"
    assert look(opening) == 1
    offer = opening.offers.get()
    call = WorkItem.objects.get(kind="offer.call")
    assert (offer.status, call.status, offer.messages.count()) == ("sent", "open", 0)

    mapping.map_code(connection, "plan", ACME, "PPO-1", plan.code, by="clerk")
    apply_mappings()
    offer.refresh_from_db()
    call.refresh_from_db()
    assert (offer.status, call.status) == ("withdrawn", "done")
    assert reasons(opening, entry) == (True, ["suits"])
    assert WorkItem.objects.get(kind="mapping.plan").status == "done"
    assert look(opening) == 1
    offer.refresh_from_db()
    assert (offer.status, offer.messages.filter(kind="offer").count()) == ("sent", 1)

    row = CodeMapping.objects.get(domain="plan")
    assert mapping_effects.offers_at_stake(row, "") == 1
    for rows, spared, back in (
        (WaitlistEntry.objects.filter(pk=entry.pk), {"plan": plan}, {"plan": None}),  # staff entered it
        (opening.offers, {"status": "expired"}, {"status": "sent"}),
    ):
        rows.update(**spared)
        assert mapping_effects.offers_at_stake(row, "") == 0
        rows.update(**back)
    mapping.unmap(connection, "plan", ACME, "PPO-1", by="clerk")
    apply_mappings()
    offer.refresh_from_db()
    assert (offer.status, offer.withdrawn_reason) == ("withdrawn", "insurance")
    assert reasons(opening, entry) == (True, ["insurance_unknown"])


def plan_of(connection: Connection, external: str = "patient-1") -> list[tuple[str, str | None]]:
    """What the EHR said pays for a patient's visits, as code and plan of ours."""
    rows = Coverage.objects.filter(patient=known_as(connection, external)).order_by("external_id")
    return [(row.code, row.plan.code if row.plan else None) for row in rows.select_related("plan")]


def make_due(connection: Connection) -> None:
    CoverageRead.objects.filter(connection=connection).update(due_at=timezone.now())
    Connection.objects.filter(pk=connection.pk).update(coverage_due_at=None)


@pytest.fixture
def mapped(connection: Connection, plan: Plan) -> Plan:
    mapping.map_code(connection, "plan", ACME, "PPO-1", plan.code)
    return plan


# --- whom it is asked for -------------------------------------------------------------------------------------------


def test_nobody_is_asked_for_who_does_not_wait_for_a_visit_that_needs_it(
    sandbox: ehr.Sandbox, connection: Connection, plan: Plan, wait: Callable[..., WaitlistEntry]
) -> None:
    other = factories.appointment_type()
    factories.entry(known_as(connection, "patient-2"), other)
    wait("patient-3", plan=plan)  # staff entered it
    factories.entry(factories.patient(), AppointmentType.objects.get(code="follow-up"))  # the EHR does not know them
    assert (coverage.due(), read(connection), asked(sandbox)) == ([], 0, [])
    wait("patient-1")
    assert (read(connection), len(asked(sandbox))) == (1, 1)
    assert list(CoverageRead.objects.values_list("patient", flat=True)) == [known_as(connection, "patient-1").pk]


def test_nothing_is_asked_while_no_kind_of_visit_needs_insurance(
    sandbox: ehr.Sandbox, connection: Connection, wait: Callable[..., WaitlistEntry]
) -> None:
    wait()
    AppointmentType.objects.update(needs_insurance=False)
    assert (coverage.due(), asked(sandbox)) == ([], [])


def test_many_are_asked_for_by_one_call_and_asked_once(
    sandbox: ehr.Sandbox, connection: Connection, wait: Callable[..., WaitlistEntry], mapped: Plan
) -> None:
    sandbox.load(*(insurance(f"c-{who}", who) for who in EVERYBODY[:2]))
    for who in EVERYBODY:
        wait(who)
    _ = connect(connection).capabilities
    before = len(sandbox.calls("/fhir"))
    assert read(connection) == 1
    assert [call["method"] for call in sandbox.calls("/fhir")[before:]] == ["POST"]
    assert [plan_of(connection, who) for who in EVERYBODY] == [[("PPO-1", "acme-ppo")], [("PPO-1", "acme-ppo")], []]
    assert (coverage.due(), read(connection), len(sandbox.calls("/fhir")) - before) == ([], 0, 1)


@pytest.mark.parametrize("fault", ["html-200", "403"])
def test_where_batches_are_not_answered_each_is_asked_for_alone(
    sandbox: ehr.Sandbox,
    connection: Connection,
    wait: Callable[..., WaitlistEntry],
    mapped: Plan,
    fault: str,
) -> None:
    sandbox.load(*(insurance(f"c-{who}", who) for who in EVERYBODY))
    for who in EVERYBODY:
        wait(who)
    sandbox.fault(fault, method="POST", path="/fhir", count=None)
    assert (read(connection), len(asked(sandbox))) == (1, 3)
    assert [plan_of(connection, who) for who in EVERYBODY] == [[("PPO-1", "acme-ppo")]] * 3


@pytest.mark.parametrize("sandbox", ["oracle", "argonaut", "athena"], indirect=True)
def test_every_dialect_tells_it(sandbox: ehr.Sandbox, plan: Plan, request: pytest.FixtureRequest) -> None:
    sandbox.small_clinic()
    sandbox.load({"resourceType": "Organization", "id": "acme"}, *(insurance(f"c-{who}", who) for who in EVERYBODY))
    connection = sandbox.connect(kind=request.node.callspec.params["sandbox"], practice_number="195900")
    load.load(connection.pk)
    AppointmentType.objects.filter(code="follow-up").update(needs_insurance=True)
    mapping.map_code(connection, "plan", ACME, "PPO-1", plan.code)
    for who in EVERYBODY:
        factories.entry(known_as(connection, who), AppointmentType.objects.get(code="follow-up"))
    assert read(connection) == 1
    assert [plan_of(connection, who) for who in EVERYBODY] == [[("PPO-1", "acme-ppo")]] * 3
    assert len(asked(sandbox)) == 3  # none of them takes batches


def test_no_more_than_a_batch_is_asked_in_one_go(
    sandbox: ehr.Sandbox, connection: Connection, wait: Callable[..., WaitlistEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coverage, "MOST", 2)
    for who in EVERYBODY:
        wait(who)
    assert [read(connection) for _ in range(3)] == [1, 1, 0]
    assert CoverageRead.objects.count() == 3


def test_the_vendors_limit_puts_the_rest_off(
    sandbox: ehr.Sandbox, connection: Connection, wait: Callable[..., WaitlistEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "PATIENCE_SECONDS", 0.0)
    Connection.objects.filter(pk=connection.pk).update(calls_per_minute=2)
    CallPace.objects.create(connection=connection, next_at=timezone.now() + timedelta(seconds=40))
    wait()
    before = len(sandbox.calls("/fhir"))
    assert read(connection) == 0
    connection.refresh_from_db()
    assert connection.coverage_due_at is not None
    assert timedelta(seconds=20) < connection.coverage_due_at - timezone.now() < timedelta(seconds=60)
    assert (len(sandbox.calls("/fhir")), WorkItem.objects.count(), coverage.due()) == (before, 0, [])


# --- when it is asked again -----------------------------------------------------------------------------------------


def test_it_is_asked_again_by_its_age_and_on_the_day_after_it_ends(
    sandbox: ehr.Sandbox, connection: Connection, wait: Callable[..., WaitlistEntry]
) -> None:
    sandbox.load(insurance("c-1", "patient-1"), insurance("c-2", "patient-2", period={"end": in_days(3)}))
    for who in EVERYBODY:
        wait(who)
    now = timezone.now()
    read(connection)
    due = {row.patient_id: row.due_at - now for row in CoverageRead.objects.all()}
    lasting, ending, none = (due[known_as(connection, who).pk] for who in EVERYBODY)
    assert timedelta(days=7) <= lasting < timedelta(days=7, minutes=1)
    assert timedelta(days=3) < ending < timedelta(days=5)
    assert timedelta(days=1) <= none < timedelta(days=1, minutes=1)


def test_one_that_lasts_to_the_end_of_the_calendar_holds_up_nobody(
    sandbox: ehr.Sandbox, connection: Connection, wait: Callable[..., WaitlistEntry]
) -> None:
    sandbox.load(insurance("c-1", period={"end": "9999-12-31"}))
    for who in EVERYBODY[:2]:
        wait(who)
    assert read(connection) == 1
    assert CoverageRead.objects.filter(due_at__gt=timezone.now() + timedelta(hours=23)).count() == 2


def test_a_fault_of_ours_with_one_patient_holds_up_nobody_else(
    sandbox: ehr.Sandbox,
    connection: Connection,
    wait: Callable[..., WaitlistEntry],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sandbox.load(insurance("c-1"), insurance("c-2", "patient-2"))
    first, second = (wait(who).patient_id for who in EVERYBODY[:2])
    keep, member = coverages.keep, "-".join(("W12", "6789"))

    def fail_for_the_first(source: Source, patient_id: int, records: Any) -> bool:
        if patient_id == first:
            raise ArithmeticError(member)
        return keep(source, patient_id, records)

    with monkeypatch.context() as broken:
        broken.setattr(coverages, "keep", fail_for_the_first)
        assert read(connection) == 1
        make_due(connection)
        assert read(connection) == 1
    kept = {row.patient_id: row.problem for row in CoverageRead.objects.filter(due_at__gt=timezone.now())}
    assert kept == {first: "ArithmeticError", second: ""}
    (logged, *_) = [each for each in caplog.records if each.exc_info]
    assert "ArithmeticError" in JsonFormatter().format(logged)
    assert member not in JsonFormatter().format(logged) + ConsoleFormatter().format(logged)

    item = WorkItem.objects.get(kind="coverage.failed")
    assert (item.patient_id, item.times_seen, item.status) == (first, 2, "open")
    make_due(connection)
    read(connection)
    item.refresh_from_db()
    assert (item.status, item.resolution) == ("done", "It was read.")


def test_a_patient_whose_turn_gave_way_to_another_worker_is_asked_for_again_at_once_and_nobody_is_told(
    sandbox: ehr.Sandbox,
    connection: Connection,
    wait: Callable[..., WaitlistEntry],
    mapped: Plan,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sandbox.load(insurance("c-1"))
    wait()
    with monkeypatch.context() as ended:
        ended.setattr(coverages, "keep", Mock(side_effect=ended_by_the_database(DEADLOCK)))
        read(connection)
    assert (coverage.due(), WorkItem.objects.count()) == ([connection.pk], 0)
    assert (read(connection), plan_of(connection)) == (1, [("PPO-1", "acme-ppo")])


def test_those_who_work_where_the_patient_comes_are_asked_about_a_fault(
    connection: Connection, wait: Callable[..., WaitlistEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> bool:
        raise ArithmeticError

    monkeypatch.setattr(coverages, "keep", fail)
    here, elsewhere = factories.location(), factories.location()
    wait().patient.locations.add(here)
    read(connection)
    for place, sees in ((here, 1), (elsewhere, 0)):
        clerk = get_user_model().objects.create_user(f"clerk-{place.pk}")
        LocationAccess.objects.create(user=clerk, location=place)
        assert WorkItem.objects.for_user(clerk).filter(kind="coverage.failed").count() == sees


def test_one_fault_at_many_patients_asks_staff_about_a_few(
    sandbox: ehr.Sandbox,
    connection: Connection,
    wait: Callable[..., WaitlistEntry],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: Any) -> bool:
        raise ArithmeticError

    monkeypatch.setattr(coverages, "keep", fail)
    monkeypatch.setattr(coverage, "MOST_FAULTS", 2)
    for who in EVERYBODY:
        wait(who)
    read(connection)
    items = WorkItem.objects.filter(kind="coverage.failed")
    assert items.count() == 2
    make_due(connection)
    read(connection)
    assert set(items.values_list("times_seen", flat=True)) == {2}


def test_an_ehr_that_only_sends_is_not_asked_and_nobody_is_told_that_it_refuses(
    connection: Connection, wait: Callable[..., WaitlistEntry]
) -> None:
    wait()
    Connection.objects.update(kind=Connection.Kind.HL7V2)
    assert (coverage.due(), read(connection)) == ([], 0)
    assert not WorkItem.objects.filter(kind="coverage.refused").exists()


def test_news_of_a_patient_make_it_due_unless_it_was_just_read(
    sandbox: ehr.Sandbox,
    connection: Connection,
    wait: Callable[..., WaitlistEntry],
    work_inbox: Callable[[], int],
    mapped: Plan,
) -> None:
    sandbox.load(insurance("c-1"))
    wait()
    read(connection)
    sandbox.change(insurance("c-1", value="HMO-2"))

    def tell(version: int) -> None:
        body = f'{{"resourceType": "Patient", "id": "patient-1", "meta": {{"versionId": "{version}"}}}}'
        signing.send(connection, body.encode())
        work_inbox()

    tell(7)
    assert (read(connection), plan_of(connection)) == (0, [("PPO-1", "acme-ppo")])
    kept = CoverageRead.objects.get()
    assert kept.due_at - kept.read_at == timedelta(minutes=15)
    CoverageRead.objects.update(read_at=timezone.now() - timedelta(minutes=16))
    tell(8)
    assert (read(connection), plan_of(connection)) == (1, [("HMO-2", None)])
    assert WorkItem.objects.get(kind="mapping.plan").subject_id == CodeMapping.objects.get(code="HMO-2").pk


BUNDLE = {"resourceType": "Bundle", "type": "history"}
TOPIC = {
    "resourceType": "SubscriptionStatus",
    "type": "event-notification",
    "notificationEvent": [{"focus": {"reference": "Coverage/c-9"}}],
}
FRESH = {
    "resourceType": "Coverage",
    "id": "c-9",
    "beneficiary": {"reference": "https://ehr.example/fhir/Patient/patient-1"},
}
GONE = {"request": {"method": "DELETE", "url": "Coverage/c-1"}}
OTHER = {"resourceType": "Slot", "id": "s-1"}


@pytest.mark.parametrize(
    ("body", "is_due"),
    [
        ({"resourceType": "Coverage", "id": "c-1"}, True),
        (FRESH, True),
        ({**BUNDLE, "entry": [GONE]}, True),
        ({**BUNDLE, "entry": [{"resource": TOPIC}, {"resource": FRESH}]}, True),
        ({**BUNDLE, "entry": [{"resource": OTHER}, {"resource": FRESH}]}, True),
        ({**BUNDLE, "entry": [{"resource": TOPIC}]}, False),
        ({**FRESH, "beneficiary": {"reference": "Patient/patient-2"}}, False),
        ({**FRESH, "beneficiary": {"reference": "Practitioner/patient-1"}}, False),
        ({**FRESH, "beneficiary": "patient-1"}, False),
    ],
)
def test_news_of_an_insurance_make_its_patients_due(
    connection: Connection,
    wait: Callable[..., WaitlistEntry],
    work_inbox: Callable[[], int],
    body: dict[str, Any],
    is_due: bool,
) -> None:
    """By whose it is where that is told, else by whose we read it as."""
    who, now = wait().patient, timezone.now()
    factories.entry(known_as(connection, "patient-3"), AppointmentType.objects.get(code="follow-up"))
    Coverage.objects.create(source=connection.source, patient=who, external_id="c-1")
    row = CoverageRead.objects.create(
        connection=connection, patient=who, read_at=now - timedelta(minutes=16), due_at=now + timedelta(days=6)
    )
    signing.send(connection, json.dumps(body).encode())
    while work_inbox():
        pass
    row.refresh_from_db()
    assert (row.due_at <= timezone.now()) is is_due
    assert set(InboundEvent.objects.values_list("status", flat=True)) == {"done"}


def test_news_of_an_insurance_that_was_just_read_wait_until_the_answer_is_old_enough(
    connection: Connection, wait: Callable[..., WaitlistEntry]
) -> None:
    now = timezone.now()
    row = CoverageRead.objects.create(
        connection=connection, patient=wait().patient, read_at=now, due_at=now + timedelta(days=6)
    )
    coverage.heard(connection.source, "c-9", "patient-1")
    row.refresh_from_db()
    assert row.due_at - now == timedelta(minutes=15)


def test_a_patient_who_is_read_again_with_all_others_is_news_too(
    sandbox: ehr.Sandbox, connection: Connection, wait: Callable[..., WaitlistEntry]
) -> None:
    for who in EVERYBODY[:2]:
        wait(who)
    read(connection)
    CoverageRead.objects.update(read_at=timezone.now() - timedelta(minutes=16))
    sandbox.change({**ehr.patient("patient-2", 2), "gender": "other"})
    load.load(connection.pk)
    due = CoverageRead.objects.filter(due_at__lte=timezone.now())
    assert [row.patient_id for row in due] == [known_as(connection, "patient-2").pk]


def test_a_meaning_that_is_overtaken_while_it_is_brought_in_line_is_not_brought_back(
    connection: Connection, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in EVERYBODY:
        who = known_as(connection, name)
        Coverage.objects.create(source=connection.source, patient=who, external_id=name, system=ACME, code="PPO-1")
    Plan.objects.create(code="beta", name="Beta")
    monkeypatch.setattr(coverages, "BATCH", 1)
    set_plan, rivals = coverages.set_plan, ["beta"]

    def overtaken(source: Source, system: str, code: str, target: str) -> int:
        done = set_plan(source, system, code, target)
        while rivals:
            mapping.map_code(connection, "plan", ACME, "PPO-1", rivals.pop())
            drain("mappings", mapping_mirror.due, mapping_mirror.apply)
        return done

    monkeypatch.setattr(coverages, "set_plan", overtaken)
    mapping.map_code(connection, "plan", ACME, "PPO-1", plan.code)
    drain("mappings", mapping_mirror.due, mapping_mirror.apply)
    assert [plan_of(connection, name) for name in EVERYBODY] == [[("PPO-1", "beta")]] * 3


# --- what it says ---------------------------------------------------------------------------------------------------


def test_a_changed_plan_takes_back_the_offer_that_rested_on_it(
    sandbox: ehr.Sandbox, connection: Connection, wait: Callable[..., WaitlistEntry], mapped: Plan, opening: Opening
) -> None:
    other = Plan.objects.create(code="beta", name="Beta")
    mapping.map_code(connection, "plan", ACME, "BETA", other.code)
    sandbox.load(insurance("c-1"))
    entry = wait()
    read(connection)
    attention.drain()
    look(opening)
    offer = opening.offers.get()
    assert (offer.status, reasons(opening, entry)[0]) == ("sent", False)  # it has been offered

    sandbox.change(insurance("c-1", status="cancelled"))
    sandbox.load(insurance("c-2", value="BETA"))
    make_due(connection)
    read(connection)
    attention.drain()
    offer.refresh_from_db()
    assert (offer.status, offer.withdrawn_reason) == ("withdrawn", "insurance")
    assert reasons(opening, entry) == (False, ["insurance"])
    assert plan_of(connection) == [("BETA", "beta")]
    deleted = LogEntry.objects.filter(content_type__model="coverage", action=LogEntry.Action.DELETE)
    assert deleted.count() == 1


def test_a_call_that_somebody_has_taken_stands(
    sandbox: ehr.Sandbox, connection: Connection, wait: Callable[..., WaitlistEntry], plan: Plan, opening: Opening
) -> None:
    sandbox.load(insurance("c-1"))
    wait()
    read(connection)
    look(opening)
    WorkItem.objects.filter(kind="offer.call").update(owner=get_user_model().objects.create(username="dana"))
    mapping.map_code(connection, "plan", ACME, "PPO-1", plan.code)
    apply_mappings()
    assert opening.offers.get().status == "sent"
    assert WorkItem.objects.get(kind="offer.call").status == "open"


def test_several_are_kept_in_their_order_and_what_is_over_or_an_error_is_not(
    sandbox: ehr.Sandbox, connection: Connection, wait: Callable[..., WaitlistEntry], mapped: Plan
) -> None:
    sandbox.load(
        insurance("c-1", order=2),
        insurance("c-2", value="OTHER", order="1"),
        insurance("c-3", value="OLD", period={"end": in_days(-9)}),
        insurance("c-4", value="WRONG", status="entered-in-error"),
    )
    wait()
    read(connection)
    rows = Coverage.objects.order_by("position").values_list("external_id", "code", "position")
    assert list(rows) == [("c-2", "OTHER", 1), ("c-1", "PPO-1", 2)]
    assert set(CodeMapping.objects.filter(domain="plan").values_list("code", flat=True)) == {"PPO-1", "OTHER"}


def test_none_any_more_leaves_the_plan_unknown(
    sandbox: ehr.Sandbox, connection: Connection, wait: Callable[..., WaitlistEntry], mapped: Plan, opening: Opening
) -> None:
    sandbox.load(insurance("c-1"))
    entry = wait()
    read(connection)
    assert reasons(opening, entry) == (True, ["suits"])
    sandbox.change(insurance("c-1", status="cancelled"))
    make_due(connection)
    read(connection)
    assert (plan_of(connection), reasons(opening, entry)) == ([], (True, ["insurance_unknown"]))


def test_a_malformed_entry_is_shown_the_rest_is_taken_and_it_closes_once_it_can_be_read(
    sandbox: ehr.Sandbox, connection: Connection, wait: Callable[..., WaitlistEntry], mapped: Plan
) -> None:
    sandbox.load(insurance("c-1"), insurance("c-2", period={"end": "soon"}))
    wait()
    read(connection)
    assert plan_of(connection) == [("PPO-1", "acme-ppo")]
    event = InboundEvent.objects.get(status="quarantined")
    assert event.outcome == "Coverage/c-2: its period has a date that is none"
    item = WorkItem.objects.get(kind="event.unreadable")
    sandbox.change(insurance("c-2", order=2))
    make_due(connection)
    read(connection)
    item.refresh_from_db()
    assert (item.status, len(plan_of(connection))) == ("done", 2)


# --- an EHR that does not tell --------------------------------------------------------------------------------------


def test_a_refusal_costs_one_call_a_day_and_says_so(
    sandbox: ehr.Sandbox,
    connection: Connection,
    wait: Callable[..., WaitlistEntry],
    mapped: Plan,
    opening: Opening,
) -> None:
    sandbox.load(insurance("c-1"))
    entry = wait()
    for who in EVERYBODY[1:]:
        wait(who)
    no_batches(connection)
    sandbox.fault("403", path="Coverage", method="GET")
    assert (read(connection), len(asked(sandbox))) == (0, 1)
    assert (coverage.due(), read(connection), len(asked(sandbox))) == ([], 0, 1)
    connection.refresh_from_db()
    assert (connection.state, connection.coverage_problem) == ("active", "It does not let us read insurance.")
    item = WorkItem.objects.get(kind="coverage.refused")
    assert "enter the plan at their entry" in item.advice
    assert reasons(opening, entry) == (True, ["insurance_unknown"])
    assert coverage.due(timezone.now() + timedelta(days=1, minutes=1)) == [connection.pk]

    sandbox.heal()
    found = {each.key: each for each in checking.check(connection)}  # somebody had it granted, and checks
    assert found["coverage"].verdict == "no"
    assert (read(connection), plan_of(connection)) == (1, [("PPO-1", "acme-ppo")])
    item.refresh_from_db()
    connection.refresh_from_db()
    assert (item.status, connection.coverage_problem) == ("done", "")


@pytest.mark.parametrize("error", [NotFound("HTTP 404", status=404), Rejected("HTTP 400 invalid", status=400)])
def test_an_ehr_that_knows_no_such_search_is_asked_again_the_next_day(
    connection: Connection,
    wait: Callable[..., WaitlistEntry],
    monkeypatch: pytest.MonkeyPatch,
    error: GatewayError,
) -> None:
    def answer(self: FhirGateway, patient_ids: Any) -> Any:
        raise error

    wait()
    monkeypatch.setattr(FhirGateway, "coverages", answer)
    assert (read(connection), coverage.due()) == (0, [])
    connection.refresh_from_db()
    assert connection.coverage_problem == f"It does not answer when asked for insurance ({error.detail})."
    assert CoverageRead.objects.count() == 0


def test_an_ehr_without_coverage_is_not_asked(
    sandbox: ehr.Sandbox, connection: Connection, wait: Callable[..., WaitlistEntry]
) -> None:
    wait()
    declare(connection, coverage_by="")
    assert (read(connection), asked(sandbox)) == (0, [])
    assert "offers no insurance" in WorkItem.objects.get(kind="coverage.refused").advice


def test_an_ehr_that_is_away_is_asked_again_soon_and_what_was_read_stays(
    sandbox: ehr.Sandbox, connection: Connection, wait: Callable[..., WaitlistEntry], mapped: Plan
) -> None:
    sandbox.load(insurance("c-1"))
    wait()
    read(connection)
    make_due(connection)
    sandbox.fault("500", path="Coverage")
    assert read(connection) == 0
    connection.refresh_from_db()
    assert connection.coverage_due_at is not None
    assert connection.coverage_due_at < timezone.now() + timedelta(minutes=2)
    assert (plan_of(connection), WorkItem.objects.count()) == ([("PPO-1", "acme-ppo")], 0)


def test_a_login_that_is_refused_is_the_logins_matter_and_says_nothing_of_insurance(
    connection: Connection, wait: Callable[..., WaitlistEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    wait()
    monkeypatch.setattr(FhirGateway, "coverages", Mock(side_effect=LoginRefused("HTTP 401", status=401)))
    assert read(connection) == 0
    connection.refresh_from_db()
    assert connection.coverage_problem == ""
    assert not WorkItem.objects.filter(kind="coverage.refused").exists()


def test_an_answer_that_cannot_be_read_leaves_what_was_known(
    sandbox: ehr.Sandbox, connection: Connection, wait: Callable[..., WaitlistEntry], mapped: Plan
) -> None:
    sandbox.load(insurance("c-1"))
    wait()
    read(connection)
    make_due(connection)
    no_batches(connection)
    sandbox.fault("html-200", path="Coverage")
    assert read(connection) == 1
    row = CoverageRead.objects.get()
    assert (row.problem, plan_of(connection)) == ("malformed", [("PPO-1", "acme-ppo")])
    assert timedelta(minutes=59) < row.due_at - timezone.now() < timedelta(minutes=61)


def test_a_worker_that_was_overtaken_writes_nothing(
    sandbox: ehr.Sandbox,
    connection: Connection,
    wait: Callable[..., WaitlistEntry],
    mapped: Plan,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sandbox.load(insurance("c-1"))
    wait()
    slow = FhirGateway.coverages
    later = timezone.now() + timedelta(hours=1)

    def answer(self: FhirGateway, patient_ids: Any) -> Any:
        Connection.objects.filter(pk=connection.pk).update(coverage_due_at=later)
        return slow(self, patient_ids)

    monkeypatch.setattr(FhirGateway, "coverages", answer)
    assert coverage.read(connection.pk) is False
    connection.refresh_from_db()
    assert (plan_of(connection), connection.coverage_due_at) == ([], later)


# --- the check's table ----------------------------------------------------------------------------------------------


def test_the_check_says_what_it_costs(sandbox: ehr.Sandbox, connection: Connection, kind: AppointmentType) -> None:
    def finding() -> tuple[str, str, str]:
        (found,) = [each for each in checking.check(connection) if each.key == "coverage"]
        return found.verdict, found.says, found.costs

    assert finding() == ("yes", "It is asked for those who wait for a visit that needs insurance.", "")
    sandbox.control.post("settings", {"granted_scopes": "system/Patient.read system/Appointment.read"})
    connection.scope = "system/Patient.read system/Appointment.read"
    connection.save()
    verdict, says, costs = finding()
    assert (verdict, says) == ("no", "We were not given the right to.")
    assert costs.startswith("Plans are entered by staff.")
    assert costs.endswith("ask the vendor for system/Coverage.read.")
    AppointmentType.objects.update(needs_insurance=False)
    connection.scope = "system/*.read system/Appointment.write"
    connection.save()
    sandbox.control.post("settings", {"granted_scopes": "system/*.read system/Appointment.write"})
    assert finding()[:2] == ("yes", "It can be asked; no kind of visit here needs insurance.")
