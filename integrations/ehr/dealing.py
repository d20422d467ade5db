"""What an event from the EHR changes: fetch what it names, mirror it, and say what came of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.utils import timezone

from audit.context import correlated, service
from integrations.codebook import CodeBook
from integrations.ehr import coverage, differences, endings, event_leases, event_stream, intake, mirroring, outage
from integrations.ehr.fhir import events
from integrations.ehr.fhir.elements import Unreadable
from integrations.ehr.gateway import Gateway, GatewayError, Kind, NotFound, Record, connect
from integrations.ehr.hl7v2 import appointments as hl7v2_appointments
from integrations.ehr.hl7v2 import messages
from integrations.ehr.hl7v2 import patients as hl7v2_patients
from integrations.ehr.hl7v2.people import AnotherPerson, WaitsForReview
from integrations.ehr.together import FRESH, Answers
from integrations.models import Connection, InboundEvent
from integrations.safe_json import NotJson, read_json
from scheduling import mirror, openings
from scheduling.appointments import Applied
from scheduling.contention import is_deadlock
from scheduling.counting import counted
from scheduling.models import ExternalId, Opening
from scheduling.records import AppointmentRecord, PatientRecord
from scheduling.worklist import ask_staff

logger = logging.getLogger(__name__)

Status = InboundEvent.Status
#: A message that waits until somebody has compared two records looks again after this.
REVIEW_WAIT = timedelta(minutes=5)


class _NoSuchAppointment(Exception):
    """Neither the EHR nor we have what an event names; the text says so for staff."""


class Keeping:
    """A gateway that renews the event's lease before each call, and knows what a call about several events told."""

    def __init__(self, event: InboundEvent, answers: Answers) -> None:
        self._event, self._answers = event, answers

    @cached_property
    def _gateway(self) -> Gateway:
        return connect(self._event.connection)

    def asked_at(self, kind: Kind, external_id: str) -> datetime:
        """Return when what :meth:`told` returns was asked for, or is by now."""
        return self._answers.asked(kind, external_id)

    def told(self, kind: Kind, external_id: str) -> Record:
        """Return what the event is about as it was told together with others, else as it is now."""
        return self._answers.take(kind, external_id) or self.fetch(kind, external_id)

    def fetch(self, kind: Kind, external_id: str) -> Record:
        event_leases.keep(self._event)
        return self._gateway.fetch(kind, external_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gateway, name)


def deal(event: InboundEvent, answers: Answers | None = None) -> str | None:
    """Deal with an event that is leased to us; every way it can end is a state of its row.

    ``answers`` are those to one call about several events, asked after all of them were leased.
    """
    with service("worker: inbox"), correlated(event.correlation_id or None):
        try:
            status, outcome = _outcome(event, answers or Answers())
        except outage.NO_ANSWER as error:
            until = outage.ask_again_at(event.connection, error)
            counts = isinstance(error, GatewayError) and error.status == 403
            endings.later(event, error.code, until, counts=counts)
            return None
        except Unreadable as error:
            endings.unreadable(event, error.detail)
            return None
        except WaitsForReview:
            endings.later(event, "waits_for_review", timezone.now() + REVIEW_WAIT, counts=False)
            endings.note_event(event)
            return None
        except AnotherPerson:
            status, outcome = Status.DONE, "somebody said that it means another person; their details stay"
        except GatewayError as error:
            endings.later(event, error.code)
            return None
        except Exception as error:
            if is_deadlock(error):
                endings.gave_way(event)
                return None
            # The text of an unexpected error may quote a patient; its place in the code is enough to find it.
            logger.exception("event %s failed: %s", event.pk, type(error).__name__)
            endings.later(event, type(error).__name__)
            return None
        event_leases.finish(event, status, outcome)
        endings.clear_work(event)
        if status == Status.DONE and event.subject_key.startswith("Appointment/"):
            differences.heard(event.connection, event.subject_key.removeprefix("Appointment/"))
        endings.note_event(event)
    return outcome


def _outcome(event: InboundEvent, answers: Answers) -> tuple[str, str]:
    """Do what the event asks for and return the state and sentence it ends with; raises GatewayError."""
    if messages.is_message(bytes(event.body), event.content_type):
        return _message(event, Keeping(event, answers))
    named = events.notice_named(event.subject_key)
    notices = _notices(event, named)
    if len(notices) > 1:
        return _divide(event, notices)
    notice = notices[0]
    if notice.subject == "nothing":
        return Status.IGNORED, notice.why
    try:
        return Status.DONE, _HANDLERS[notice.subject](event, notice, Keeping(event, answers))
    except _NoSuchAppointment as nothing:
        return Status.DONE, str(nothing)


def _message(event: InboundEvent, gateway: Any) -> tuple[str, str]:
    """Deal with an HL7 v2 message: of a patient, or of an appointment."""
    body, connection = bytes(event.body), event.connection
    if messages.head_of(body, messages.Reading.of(connection)).kind != "SIU":
        return Status.DONE, hl7v2_patients.take(event, gateway)
    if connection.only_sends:
        applied = hl7v2_appointments.take(event, gateway)
        return Status.DONE, _told(applied) if applied else "we knew something newer; no opening"
    notice = hl7v2_appointments.notice(connection, body)
    if notice.subject == "nothing":
        return Status.IGNORED, notice.why
    try:
        return Status.DONE, _appointment(event, notice, gateway)
    except _NoSuchAppointment:
        # Messages overtake what FHIR shows. It is asked for again, the poll looks too, and in the end staff do.
        _everything(event, notice, gateway)
        raise mirroring.ReferenceMissing("The EHR does not show the appointment that a message names.") from None


def _notices(event: InboundEvent, named: events.Notice | None) -> list[events.Notice]:
    payload = _payload(event)
    stream = events.stream_of(payload)
    if stream is not None:
        event_stream.note(event.connection, stream)
    if named is not None and not payload:
        return [named]
    return events.notices_of(payload)


def _payload(event: InboundEvent) -> Any:
    if not bytes(event.body).strip():
        return {}
    try:
        return read_json(bytes(event.body))
    except NotJson as problem:
        raise Unreadable(str(problem)) from None


def _divide(event: InboundEvent, notices: list[events.Notice]) -> tuple[str, str]:
    """A bundle of several things becomes an event for each, so that one of them cannot hold up the others."""
    for number, notice in enumerate(notices):
        intake.remember(event.connection, event.via, notice, key=f"{event.pk}#{number}")
    return Status.DONE, f"divided into {counted(len(notices), 'event')}"


def _appointment(event: InboundEvent, notice: events.Notice, gateway: Any) -> str:
    source = event.connection.source
    if notice.external_id and _is_first_try(event):
        held = mirror.known(source, ExternalId.Kind.APPOINTMENT, notice.external_id)
        if held is not None and held.seen_at is not None and held.seen_at > event.received_at:
            return "a later look at the EHR has told us already"
    if not notice.external_id:
        fetched_at = timezone.now()
        event_leases.keep(event)
        found = gateway.find_by_identifier(notice.system, notice.value)
        if found is None:
            raise _NoSuchAppointment("the EHR has no appointment with this identifier")
        return _told(mirroring.apply(gateway, source, found, fetched_at, opens=_opens(event)))
    payload = _payload(event) if _is_fresh_poll(event) else {}
    if payload.keys() > {"resourceType", "id"}:
        record: Record = gateway.read("appointment", payload)
        fetched_at = event.received_at
    else:
        fetched_at = gateway.asked_at("appointment", notice.external_id)
        try:
            record = gateway.told("appointment", notice.external_id)
        except NotFound:
            verdict = CodeBook(event.connection).reason("", "", "")  # a deletion gives no reason
            return _gone(mirroring.apply_absence(source, notice.external_id, fetched_at, verdict=verdict))
    if not isinstance(record, AppointmentRecord):
        raise Unreadable("it is not an appointment")
    return _told(mirroring.apply(gateway, source, record, fetched_at, opens=_opens(event)))


def _is_fresh_poll(event: InboundEvent) -> bool:
    """A poll has just fetched it: asking again would only ask the same. Not so when it is looked at once more."""
    is_fresh = timezone.now() - event.received_at < FRESH
    return is_fresh and event.via == InboundEvent.Via.POLL and _is_first_try(event)


def _is_first_try(event: InboundEvent) -> bool:
    """Whether nobody has begun on it: a try that broke off may have taken a state over and not what follows from it."""
    return event.attempts == 1 and not event.outcome


def _opens(event: InboundEvent) -> bool:
    return event.via != InboundEvent.Via.LOAD


def _told(applied: Applied) -> str:
    said = {
        "created": "mirrored",
        "updated": "mirror brought up to date",
        "unchanged": "we had this version",
        "stale": "we knew something newer",
        "own": "our own booking or cancellation",
    }[applied.change]
    return f"{said}; {_openings(len(applied.opened))}"


def _openings(count: int) -> str:
    return "no opening" if not count else "1 opening" if count == 1 else f"{count} openings"


def _gone(applied: Applied | None) -> str:
    if applied is None:
        raise _NoSuchAppointment("the EHR no longer has it, and we never had it")
    return f"deleted in the EHR; {_openings(len(applied.opened))}"


def _patient(event: InboundEvent, notice: events.Notice, gateway: Any) -> str:
    source, fetched_at = event.connection.source, gateway.asked_at("patient", notice.external_id)
    try:
        record = gateway.told("patient", notice.external_id)
    except NotFound:
        return _patient_gone(event, notice.external_id)
    if not isinstance(record, PatientRecord):
        raise Unreadable("it is not a patient")
    mirroring.apply_person(gateway, source, record, fetched_at)
    return "patient brought up to date"


def _patient_gone(event: InboundEvent, external_id: str) -> str:
    held = mirror.known(event.connection.source, ExternalId.Kind.PATIENT, external_id)
    if held is None:
        return "the EHR no longer has this patient, and we never had"
    ask_staff(
        "patient.gone",
        "The EHR no longer has a patient that we know",
        advice="Look the patient up in the EHR. If the record was removed, take the patient off the waitlist.",
        dedupe_key=f"patient.gone:{held.object_id}",
        subject=held,
    )
    return "the EHR no longer has this patient; staff were asked"


def _coverage(event: InboundEvent, notice: events.Notice, gateway: Any) -> str:
    return coverage.heard(event.connection.source, notice.external_id, notice.patient_id)


def _described(event: InboundEvent, notice: events.Notice, gateway: Any) -> str:
    kind: Kind = "provider" if notice.subject == "provider" else "location"
    try:
        mirroring.fetch_and_apply(gateway, event.connection.source, kind, notice.external_id)
    except mirroring.ReferenceMissing:
        return f"the EHR no longer has this {kind}"
    return f"{kind} brought up to date"


def _slot(event: InboundEvent, notice: events.Notice, gateway: Any) -> str:
    """A slot changed: whoever is about to be offered it needs a fresh look."""
    live = Opening.objects.filter(source_id=event.connection.source_id, status__in=Opening.CLAIMABLE)
    touched = [row.pk for row in live if any(slot.get("id") == notice.external_id for slot in row.slots)]
    for opening_id in touched:
        openings.request_check(opening_id, timezone.now())
    return f"a fresh look at {_openings(len(touched))}" if touched else "no opening rests on this slot"


def _everything(event: InboundEvent, notice: events.Notice, gateway: Any) -> str:
    """Something changed, nobody says what: the poll finds out."""
    Connection.objects.filter(pk=event.connection_id).update(poll_due_at=timezone.now())
    return "it names nothing; the EHR is polled"


def _subscription(event: InboundEvent, notice: events.Notice, gateway: Any) -> str:
    is_ours = event_stream.look_soon(event.connection)
    return f"the EHR's subscription has ended; {'it is asked for again' if is_ours else 'staff were asked'}"


_HANDLERS: dict[str, Callable[[InboundEvent, events.Notice, Any], str]] = {
    "appointment": _appointment,
    "patient": _patient,
    "coverage": _coverage,
    "provider": _described,
    "location": _described,
    "slot": _slot,
    "everything": _everything,
    "subscription": _subscription,
}
