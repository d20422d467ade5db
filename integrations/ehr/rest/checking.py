"""What a proprietary system lets us do: the login tried, one page of each kind read, the rest as declared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from datetime import timedelta

from django.utils import timezone

from integrations.ehr.checking import said
from integrations.ehr.fhir import auth
from integrations.ehr.fhir.checking import READS, SECONDS, Try, declared_findings, login_finding, untried
from integrations.ehr.fhir.transport import Transport
from integrations.ehr.gateway import Capabilities, Finding, GatewayError, Kind, Malformed, NotFound
from integrations.ehr.rest.declaration import Declaration, Read, Wanted
from integrations.models import Connection

KINDS: dict[str, Kind] = {
    "location": "location",
    "provider": "provider",
    "patient": "patient",
    "appointment": "appointment",
}
#: Nobody's id: no patient is read for a test.
NOBODY = "none-sooner-check"


def findings(connection: Connection, declaration: Declaration, read: Read) -> Iterator[Finding]:
    """Yield what came of each try, in the order in which a person would mend them. Nothing at the EHR changes."""
    transport = Transport(connection, seconds=SECONDS, asks_anyway=True, media_type=declaration.media_type)
    auth.forget_token(connection.pk)  # what counts is whether we are let in now
    login = login_finding(connection, transport)
    yield login
    for each in READS:
        if each.key in KINDS:
            yield _read(transport, read, each) if login.verdict != "no" else untried(each)
    all_of_it = [each.name for each in fields(Capabilities)]
    yield from declared_findings(connection, declaration.capabilities, "", known=all_of_it)


def _read(transport: Transport, read: Read, tried: Try) -> Finding:
    try:
        with suppress(NotFound):
            next(read(transport, _wanted(KINDS[tried.key])), None)
    except (TypeError, ValueError, AttributeError, LookupError):
        error: GatewayError = Malformed("The answer has another form than its adapter knows.")
        return Finding(tried.key, tried.question, "no", said(error), tried.costs)
    except GatewayError as error:
        return Finding(tried.key, tried.question, "no", said(error), tried.costs)
    return Finding(tried.key, tried.question, "yes", "It was read.")


def _wanted(kind: Kind) -> Wanted:
    if kind == "patient":
        return Wanted(kind, external_id=NOBODY)
    today = timezone.now()
    return Wanted(kind, start=today, end=today + timedelta(days=1)) if kind == "appointment" else Wanted(kind)
