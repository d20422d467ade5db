"""What a FHIR server lets us do, found out by asking: its CapabilityStatement, its login, and a read of each kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.utils import timezone

from integrations.ehr.checking import said
from integrations.ehr.fhir import auth, capabilities
from integrations.ehr.fhir.build import utc
from integrations.ehr.fhir.elements import Json
from integrations.ehr.fhir.scopes import allow
from integrations.ehr.fhir.transport import Transport
from integrations.ehr.gateway import Capabilities, Finding, GatewayError, Learned, LoginRefused
from integrations.models import AccessToken, Connection
from scheduling.counting import counted
from scheduling.models import AppointmentType, Source

#: Without it the plans of those who wait are entered by staff.
COVERAGE_SCOPE = "system/Coverage.read"
#: A person waits for the answers, so each call gets less time than in daily work.
SECONDS = 6.0


@dataclass(frozen=True, slots=True)
class Try:
    """A read we try: the question it answers and what its failure costs."""

    key: str
    resource_type: str
    question: str
    costs: str


READS = (
    Try("location", "Location", "Can it read locations?", "Without them no appointment can be placed."),
    Try("provider", "Practitioner", "Can it read clinicians?", "Without them no appointment can be placed."),
    Try("patient", "Patient", "Can it find patients?", "Without patients nobody can be offered anything."),
    Try("schedule", "Schedule", "Can it read the schedule?", "Free time is then known from appointments alone."),
    Try("appointment", "Appointment", "Can it read appointments?", "Without them no cancellation is ever seen."),
)


@dataclass(frozen=True, slots=True)
class Declared:
    """Something an EHR declares or its adapter knows: the question, both answers, and what a no costs.

    ``capability`` is the field of :class:`Capabilities` that answers it.
    """

    key: str
    capability: str
    question: str
    is_so: Callable[[Connection, Capabilities], bool]
    yes: str
    no: str
    costs: str


def _tells_of_events(connection: Connection, declared: Capabilities) -> bool:
    return declared.events or connection.events_by == Connection.EventsBy.PLATFORM


DECLARED = (
    Declared(
        "retries",
        "retry_safety",
        "Can a lost answer be recovered?",
        lambda connection, declared: declared.retry_safety != "none",
        "It recognises a repeated booking.",
        "It cannot tell a repeated booking.",
        "When an answer is lost and the booking is not found, staff decide.",
    ),
    Declared(
        "versions",
        "version_check",
        "Does it check versions?",
        lambda connection, declared: declared.version_check,
        "A change made by two at once is noticed.",
        "It keeps no versions.",
        "Each appointment is read again before it is changed.",
    ),
    Declared(
        "cancels",
        "cancels",
        "Can an appointment be cancelled?",
        lambda connection, declared: declared.cancels,
        "We may cancel what a patient gives up.",
        "It does not let us cancel.",
        "When a patient moves up, staff cancel the later appointment.",
    ),
    Declared(
        "silence",
        "confirms_itself",
        "Does it leave the talking to us?",
        lambda connection, declared: not declared.confirms_itself,
        "It sends no confirmations of its own.",
        "It writes to patients about bookings by itself.",
        "Each of our bookings asks it not to; switch its messages off there too, so that nobody hears twice.",
    ),
    Declared(
        "events",
        "events",
        "Does it send events?",
        _tells_of_events,
        "It can notify us of each change.",
        "It offers no subscriptions.",
        "It is polled every {every}.",
    ),
    Declared(
        "changes",
        "search_last_updated",
        "Can it be asked what changed?",
        lambda connection, declared: declared.search_last_updated,
        "Changes are read since the last time.",
        "It cannot be searched by time of change.",
        "The whole window of days is compared each time.",
    ),
)
#: FHIR R4 and its technical corrections.
_R4 = re.compile(r"4\.0(\.\d+)?")


def findings(connection: Connection, known_better: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what came of each try, in the order in which a person would mend them. Nothing at the EHR changes.

    ``known_better`` are capabilities that the dialect knows and the CapabilityStatement does not say.
    """
    transport = Transport(connection, seconds=SECONDS, asks_anyway=True)
    statement, about_server = _statement(connection, transport)
    yield about_server
    auth.forget_token(connection.pk)  # what counts is whether we are let in now
    login = login_finding(connection, transport)
    yield login
    for each in READS:
        yield _read(transport, each) if login.verdict != "no" else untried(each)
    granted = AccessToken.objects.filter(connection_id=connection.pk).values_list("scope", flat=True).first() or ""
    if statement is not None:
        declared = capabilities.declared_by(statement)
        capabilities.keep(connection, declared)
        yield from declared_findings(connection, replace(declared, **known_better), granted, known_better)


def _statement(connection: Connection, transport: Transport) -> tuple[Json | None, Finding]:
    question = "Does a FHIR R4 server answer there?"
    try:
        statement = transport.read_publicly("metadata").resource()
    except GatewayError as error:
        costs = "Compare the address with what the vendor gave you; it often ends in /r4 or /fhir."
        if connection.client_certificate:
            costs += " It may not know our client certificate: is it the one that the vendor registered?"
        return None, Finding("server", question, "no", said(error), costs)
    version = str(statement.get("fhirVersion", ""))
    software = statement.get("software")
    name = str(software.get("name", ""))[:60] if isinstance(software, dict) else ""
    says = f"{name or 'It'} speaks FHIR {version or 'of an unnamed version'}."
    if statement.get("resourceType") != "CapabilityStatement" or not _R4.fullmatch(version):
        return None, Finding("server", question, "no", says, "Ask the vendor for the address of FHIR R4 (4.0.1).")
    return statement, Finding("server", question, "yes", says)


def login_finding(connection: Connection, transport: Transport) -> Finding:
    """Log in anew, and say what came of it."""
    question = "Are we let in?"
    if connection.login_method == Connection.LoginMethod.NONE:
        return Finding("login", question, "yes", "No login is asked for.")
    transport.look_up_login()
    try:
        transport.log_in()
    except LoginRefused as error:
        costs = "Compare client id, secret or key with what the vendor registered, and the login method."
        return Finding("login", question, "no", said(error), costs)
    except GatewayError as error:
        costs = "If the vendor named a token address, enter it at the connection."
        return Finding("login", question, "no", said(error), costs)
    missing = _missing_scopes(connection)
    if missing:
        return Finding(
            "login",
            question,
            "partly",
            "We got a token, with fewer rights than we asked for.",
            f"Ask the vendor to grant: {', '.join(missing)}.",
        )
    return Finding("login", question, "yes", "We got a token.")


def _missing_scopes(connection: Connection) -> list[str]:
    """Return the asked scopes that were not granted; an EHR that does not say what it granted is taken at its word."""
    granted = AccessToken.objects.get(connection_id=connection.pk).scope
    return [scope for scope in connection.scope.split() if granted and not allow(granted, scope)]


def untried(tried: Try) -> Finding:
    """Return what is said of a read that could not be tried."""
    return Finding(tried.key, tried.question, "not_tried", "Not tried: we are not let in.")


def _read(transport: Transport, tried: Try) -> Finding:
    parameters = [("_count", "1")]
    if tried.resource_type == "Appointment":
        today = timezone.now()
        parameters += [("date", f"ge{utc(today)}"), ("date", f"lt{utc(today + timedelta(days=1))}")]
    if tried.resource_type == "Patient":
        parameters.append(("birthdate", "1800-01-01"))  # nobody's birthday: no patient is read for a test
    try:
        transport.read(tried.resource_type, parameters).resource()
    except LoginRefused as error:
        costs = f"{tried.costs} Ask the vendor for system/{tried.resource_type}.read."
        return Finding(tried.key, tried.question, "no", said(error), costs)
    except GatewayError as error:
        costs = tried.costs
        if transport.connection.kind == Connection.Kind.ATHENA and not transport.connection.practice_number:
            costs = f"{costs} Enter the practice's number at the connection: each search names it."
        return Finding(tried.key, tried.question, "no", said(error), costs)
    return Finding(tried.key, tried.question, "yes", f"{tried.resource_type} was read.")


def declared_findings(
    connection: Connection, declared: Capabilities, granted: str, known: Collection[str] = ()
) -> Iterator[Finding]:
    """Yield what the EHR says of itself; a refused write is never tried out.

    ``granted`` are the scopes that came with the token, ``known`` the capabilities its adapter knows by itself.
    """
    question = "Does it take new appointments?"
    learned: Learned = _learned("writes_appointments", known)
    if declared.writes_appointments and _may(granted, "system/Appointment.c"):
        yield Finding("writes", question, "yes", "It takes bookings.", learned=learned)
    else:
        says = "It does not take bookings from us." if declared.writes_appointments else "It offers no booking."
        costs = "Each booking becomes a task for staff, who enter it by hand."
        if declared.writes_appointments:
            costs, learned = f"{costs} Ask the vendor for system/Appointment.write.", "tried"
        yield Finding("writes", question, "no", says, costs, learned)
    if connection.source.registers_patients == Source.Registers.MACHINE:
        yield _registers(declared, granted, known)
    for each in DECLARED:
        learned = _learned(each.capability, known)
        if each.is_so(connection, declared):
            yield Finding(each.key, each.question, "yes", each.yes, learned=learned)
        else:
            costs = each.costs.format(every=counted(connection.poll_minutes, "minute"))
            yield Finding(each.key, each.question, "no", each.no, costs, learned)
    yield _insurance(connection, declared, granted, _learned("coverage_by", known))


def _insurance(connection: Connection, declared: Capabilities, granted: str, learned: Learned) -> Finding:
    """Return whether it tells what pays for a visit, by what it declares, grants and answered: nobody is asked for."""
    question, costs = "Can it read insurance?", "Plans are entered by staff."
    if not declared.coverage_by:
        return Finding("coverage", question, "no", "It offers no insurance to read.", costs, learned)
    if not _may(granted, COVERAGE_SCOPE):
        costs = f"{costs} If a kind of visit needs insurance, ask the vendor for {COVERAGE_SCOPE}."
        return Finding("coverage", question, "no", "We were not given the right to.", costs)
    if connection.coverage_problem:
        return Finding("coverage", question, "no", connection.coverage_problem, costs)
    says = "It is asked for those who wait for a visit that needs insurance."
    if not AppointmentType.objects.filter(needs_insurance=True, active=True).exists():
        says = "It can be asked; no kind of visit here needs insurance."
    return Finding("coverage", question, "yes", says, learned=learned)


def _registers(declared: Capabilities, granted: str, known: Collection[str]) -> Finding:
    """Asked only where the practice chose that we register patients."""
    question, learned = "May we register new patients?", _learned("creates_patients", known)
    costs = "Each becomes a task for staff, who register them in the EHR; a booking waits until they have."
    if not declared.creates_patients:
        return Finding("registers", question, "no", "It takes no new patients from us.", costs, learned)
    if not _may(granted, "system/Patient.c"):
        says = "We have no right to write patients."
        return Finding("registers", question, "no", says, f"{costs} Ask the vendor for system/Patient.write.")
    return Finding("registers", question, "yes", "It takes new patients.", learned=learned)


def _learned(capability: str, known: Collection[str]) -> Learned:
    """A CapabilityStatement says some of it; of the rest the adapter of its kind knows how it usually is."""
    return "declared" if capability in capabilities.STATED and capability not in known else "known"


def _may(granted: str, scope: str) -> bool:
    """An EHR that does not say what it granted is taken at its word."""
    return not granted or allow(granted, scope)
