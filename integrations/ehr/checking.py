"""Checking a connection: what its EHR lets us do, what is missing, and what that costs. Nothing in the EHR changes."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone

from audit.context import correlated
from integrations.ehr.addresses import is_allowed, resolve
from integrations.ehr.gateway import Finding, GatewayError, Unavailable, Verdict, connect
from integrations.models import Connection
from scheduling.worklist import ask_staff, finish_for

#: What an EHR can do is compared with what we need once a day.
EVERY = timedelta(days=1)
RESOLVE_SECONDS = 3.0
NO_WEB_ADDRESS = (
    "It is not a web address. It begins with https:// and names the FHIR base, e.g. https://ehr.example/fhir."
)
#: The order of trouble, the worst last.
_WORSE = ("yes", "partly", "no")


def check(connection: Connection, now: datetime | None = None, *, by_itself: bool = False) -> list[Finding]:
    """Try everything we need of the EHR, keep what was found on the connection and return it; takes up to a minute.

    A person who checks sees how it stands, so later checks that the machine makes by itself compare with that.
    Makes calls: no transaction may be open.
    """
    now = now or timezone.now()
    before = {each.key: each for each in found(connection)}
    with correlated():
        answers = [] if connection.only_sends else [address_finding(connection.base_url)]
        if not answers or answers[0].verdict != "no":
            answers += connect(connection).findings()
            _note_how_it_books(connection)
    answers = [
        replace(
            each,
            since=_since(each, before.get(each.key), now),
            had=_best(before.get(each.key), each) if by_itself else each.verdict,
        )
        for each in answers
    ]
    connection.checked_at, connection.findings = now, [asdict(each) for each in answers]
    mine = Connection.objects.filter(pk=connection.pk)
    mine.update(checked_at=now, findings=connection.findings)
    # Somebody may have had it granted: what was refused is asked for again.
    mine.exclude(coverage_problem="").update(coverage_due_at=now)
    return answers


def _since(finding: Finding, before: Finding | None, now: datetime) -> str:
    same = before is not None and before.verdict == finding.verdict
    return before.since if before is not None and same and before.since else now.isoformat()


def note_only_sends(connection: Connection) -> None:
    """To an EHR that only sends nothing can be written: bookings go to staff."""
    if connection.only_sends and connection.source.writable:
        connection.source.writable = False
        connection.source.save(update_fields=("writable",))


def _note_how_it_books(connection: Connection) -> None:
    """Whether it books any time or one slot decides what may be offered; whether it cancels, what patients are told."""
    note_only_sends(connection)
    with contextlib.suppress(GatewayError):
        able = connect(connection).capabilities
        source, told = connection.source, (able.book_mode == "one_slot", able.cancels)
        if (source.books_one_slot, source.cancels) != told:
            source.books_one_slot, source.cancels = told
            source.save(update_fields=("books_one_slot", "cancels"))


def found(connection: Connection) -> list[Finding]:
    """Return what the last check found; empty before the first."""
    return [Finding(**each) for each in connection.findings]


def address_finding(url: str) -> Finding:
    """Judge the address itself: over https, and not one of this network unless that is allowed."""
    question = "Is the address safe to call?"
    problem = address_problem(url)
    if problem:
        return Finding("address", question, "no", problem, "Nothing is sent there. Correct the address.")
    return Finding("address", question, "yes", f"{urlsplit(url).hostname} may be called.")


def address_problem(url: str) -> str:
    """Return what is wrong with an EHR's address in a sentence, empty when it may be called."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host:
        return NO_WEB_ADDRESS
    if parts.username or parts.password:
        return "It holds a user name or password. Put those into the login's own fields."
    if parts.query or parts.fragment:
        return "It has a “?” or “#”. The base address ends before those."
    if parts.scheme == "http" and not settings.EHR_ALLOW_PRIVATE_ADDRESSES:
        return "It begins with http://, so patients' data would travel unprotected. Ask the vendor for https://."
    try:
        addresses = resolve(host, parts.port or 443, RESOLVE_SECONDS)
    except Unavailable as error:
        return f"{error.detail} Look for a typing error."
    if not any(is_allowed(address) for address in addresses):
        return (
            "It leads into a private network, to this machine or to a cloud's own services. If your EHR really stands "
            "there, set EHR_ALLOW_PRIVATE_ADDRESSES=true for this installation."
        )
    return ""


def due(now: datetime | None = None, limit: int = 5) -> list[int]:
    """Return the ids of connections whose last check is a day old. One that was never checked waits for a person."""
    before = (now or timezone.now()) - EVERY
    rows = Connection.objects.filter(state=Connection.State.ACTIVE, checked_at__lt=before).order_by("checked_at")
    return list(rows.values_list("pk", flat=True)[:limit])


def recheck(connection_id: int, now: datetime | None = None) -> bool:
    """Check one connection that is due and tell staff what has become worse; False when another worker has it."""
    now = now or timezone.now()
    connection = Connection.objects.get(pk=connection_id)
    mine = Connection.objects.filter(pk=connection_id, checked_at=connection.checked_at)
    if connection.checked_at is None or not mine.update(checked_at=now):
        return False
    before = {each.key: each for each in found(connection)}
    answers = check(connection, now, by_itself=True)
    worse = [each for each in answers if _is_worse(before.get(each.key), each)]
    key = f"connection.worse:{connection_id}"
    if worse:
        ask_staff(
            "connection.worse",
            f"The EHR {connection.slug} no longer allows everything it did",
            advice=" ".join(f"{each.question} {each.says} {each.costs}".strip() for each in worse)[:900],
            dedupe_key=key,
            subject=connection,
        )
    elif not any(_is_below(each.had, each.verdict) for each in answers):
        finish_for(key, "It is as it was, or as whoever checked it since has seen it.")
    return True


def _is_worse(before: Finding | None, after: Finding) -> bool:
    return before is not None and _is_below(before.verdict, after.verdict)


def _is_below(before: str, after: str) -> bool:
    known = before in _WORSE and after in _WORSE
    return known and _WORSE.index(after) > _WORSE.index(before)


def _best(before: Finding | None, after: Finding) -> Verdict:
    had: Verdict | Literal[""] = (before.had or before.verdict) if before is not None else ""
    return had if had and (after.verdict == "not_tried" or _is_below(had, after.verdict)) else after.verdict


def said(error: GatewayError) -> str:
    """Return what went wrong with a call, as a sentence without data of anybody."""
    detail = (error.detail or error.code).rstrip(".")
    return f"{detail}."
