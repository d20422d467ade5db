"""A thousand patients say yes to one opening at once, against a bare view with one conditional UPDATE."""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.test import Client
from django.utils import timezone

from bench import profiling, stack
from bench.caller import Calls, call, request
from bench.environment import Surroundings
from bench.figures import Figure, Result, Rounds, percentile
from bench.floors.models import FloorOpening
from bench.multiplying import finish, multiply
from bench.usage import cpu_seconds
from scheduling.models import (
    Appointment,
    AppointmentType,
    Bookable,
    ContactPoint,
    ExternalId,
    Location,
    Opening,
    Patient,
    Practice,
    Provider,
    Source,
)
from waitlist import links
from waitlist.models import Claim, ConsentRecord, Offer, OutreachPolicy, WaitlistEntry

NAME = "claims"
CONNECTIONS = 50
INDEX = "encode(sha256(n::text::bytea), 'hex')"


def run(surroundings: Surroundings) -> Result:
    """Each round has an opening of its own, offered to everybody; no worker runs."""
    rivals = surroundings.size(1000, 40)
    result = Result(NAME, f"{rivals:,} claims on one opening over HTTP, {CONNECTIONS} at a time")
    url = surroundings.database("bench_claims")
    practice = _Practice(rivals)
    ours = stack.product(surroundings.directory, url)
    floor = stack.floor(surroundings.directory, url)
    rates: dict[str, list[float]] = {"ours": [], "floor": []}
    cpu: dict[str, list[float]] = {"ours": [], "floor": []}
    tails: dict[str, list[float]] = {"ours": [], "floor": []}
    try:
        _warm_up(practice, ours, floor)
        for _ in range(surroundings.rounds):
            opening, requests = practice.open()
            before = cpu_seconds(ours.process.pid)
            calls = call(ours.port, requests, CONNECTIONS)
            cpu["ours"].append((cpu_seconds(ours.process.pid) - before) / rivals * 1e6)
            _verify(result, opening, calls, rivals)
            _note(calls, rates["ours"], tails["ours"])
            taken = FloorOpening.objects.create()
            before = cpu_seconds(floor.process.pid)
            calls = call(floor.port, _floor_requests(taken.pk, rivals), CONNECTIONS)
            cpu["floor"].append((cpu_seconds(floor.process.pid) - before) / rivals * 1e6)
            result.check("floor: one winner", calls.count(200) == 1 and calls.count(409) == rivals - 1)
            _note(calls, rates["floor"], tails["floor"])
    finally:
        ours.stop()
        floor.stop()
    for name, unit, values, limit in (
        ("claims per second", "/s", rates, 0.8),
        ("processor time of the web server per claim", "µs", cpu, None),
        ("time to the answer, 99th percentile", "ms", tails, None),
    ):
        mine, theirs = Rounds(tuple(values["ours"])), Rounds(tuple(values["floor"]))
        result.figures.append(Figure(name, unit, mine, "bare conditional UPDATE", theirs, limit, at_least=True))
    result.checks = _once_each(result.checks)
    result.profile = _profile(practice, surroundings.size(300, 30))
    return result


class _Practice:
    """So many patients who wait, and an opening offered to all of them as often as one is asked for."""

    def __init__(self, rivals: int) -> None:
        self._rivals = rivals
        now = timezone.now()
        Practice.current()
        OutreachPolicy.objects.create(start_delay_seconds=0)
        self._source = Source.objects.create(key="ehr", name="EHR")
        self._location = Location.objects.create(name="Elm Street", time_zone="America/New_York")
        self._type = AppointmentType.objects.create(code="follow-up", name="Follow-up", duration_minutes=30)
        self._provider = Provider.objects.create(name="Dr. Bench")
        Bookable.objects.create(
            provider=self._provider,
            location=self._location,
            appointment_type=self._type,
            duration_minutes=30,
            mode=Bookable.Mode.AUTOMATIC,
        )
        patient = Patient.objects.create(pk=0, given_name="Robin", family_name="Sample", established=True)
        multiply(patient, rivals)
        phone = ContactPoint.objects.create(
            pk=0, patient=patient, system="phone", value="+12125550100", address_index="0", use="mobile", can_text=True
        )
        multiply(phone, rivals, patient_id="n", address_index=INDEX)
        consent = ConsentRecord.objects.create(
            pk=0,
            channel="sms",
            address_index="0",
            patient=patient,
            action="granted",
            source="form",
            recorded_by="bench",
            at=now,
        )
        multiply(consent, rivals, patient_id="n", address_index=INDEX)
        name = ExternalId.objects.create(pk=0, source=self._source, kind="patient", value="0", object_id=0)
        multiply(name, rivals, value="'pat-' || n", object_id="n")
        entry = WaitlistEntry.objects.create(pk=0, patient=patient, appointment_type=self._type, joined_at=now)
        multiply(entry, rivals, patient_id="n")
        self._rounds = 0

    def open(self) -> tuple[Opening, list[bytes]]:
        """Return a new opening, a day after the last one, and the requests that say yes to its offers."""
        self._rounds += 1
        start = (timezone.now() + timedelta(days=2 + self._rounds)).replace(hour=15, minute=0, second=0, microsecond=0)
        opening = Opening.objects.create(
            provider=self._provider,
            location=self._location,
            source=self._source,
            start=start,
            end=start + timedelta(minutes=30),
            status=Opening.Status.OFFERING,
            origin_key=f"bench-{self._rounds}",
            checked_at=timezone.now(),
            waves_sent=1,
        )
        # Only one live offer per patient is possible; the offers of the last round are over by now.
        Offer.objects.filter(status=Offer.Status.SENT).update(status=Offer.Status.WITHDRAWN)
        tokens = [links.make_token() for _ in range(self._rivals)]
        Offer.objects.bulk_create(
            Offer(
                opening=opening,
                entry_id=number,
                patient_id=number,
                appointment_type=self._type,
                start=opening.start,
                end=opening.end,
                wave=1,
                rank=number,
                code="10",
                token_hash=token.hash,
                expires_at=start - timedelta(hours=1),
            )
            for number, token in enumerate(tokens, start=1)
        )
        finish()
        requests = [_yes(token.text) for token in tokens]
        secrets.SystemRandom().shuffle(requests)
        return opening, requests


def _yes(token: str) -> bytes:
    return request("POST", f"/o/{token}/", b"answer=yes", [("Content-Type", "application/x-www-form-urlencoded")])


def _floor_requests(opening_id: int, rivals: int) -> list[bytes]:
    return [request("POST", f"/openings/{opening_id}/{patient}/") for patient in range(1, rivals + 1)]


def _warm_up(practice: _Practice, ours: stack.Web, floor: stack.Web) -> None:
    call(ours.port, practice.open()[1], CONNECTIONS)
    call(floor.port, _floor_requests(FloorOpening.objects.create().pk, 200), CONNECTIONS)


def _note(calls: Calls, rates: list[float], tails: list[float]) -> None:
    rates.append(calls.per_second)
    tails.append(percentile(calls.latencies, 0.99) * 1000)


def _verify(result: Result, opening: Opening, calls: Calls, rivals: int) -> None:
    """One winner with everything that belongs to it; everybody else was too late and is known to have been."""
    pending = Appointment.objects.filter(provider_id=opening.provider_id, start=opening.start, status="pending")
    opening.refresh_from_db()
    result.check("every call was answered with a page to look at", calls.count(303) == rivals)
    result.check("one claim", Claim.objects.filter(opening=opening).count() == 1)
    result.check("one appointment and one writeback", sum(row.writebacks.count() for row in pending) == 1)
    result.check(
        "one offer answered with yes", Offer.objects.filter(opening=opening, status=Offer.Status.YES).count() == 1
    )
    late = Offer.objects.filter(opening=opening, status=Offer.Status.SENT, answered_at__isnull=False)
    result.check("all others are known to have been too late", late.count() == rivals - 1)
    result.check("the opening is claimed", opening.status == Opening.Status.CLAIMED)


def _once_each(checks: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """Return each check once, held only if it held in every round."""
    together: dict[str, bool] = {}
    for what, holds in checks:
        together[what] = together.get(what, True) and holds
    return list(together.items())


def _profile(practice: _Practice, calls: int) -> str:
    """Return where the time of a yes goes, nearly all of them too late."""
    client = Client()
    paths = [each.split(b" ", 2)[1].decode() for each in practice.open()[1][: calls + 10]]

    def send(some: list[str]) -> None:
        for path in some:
            client.post(path, "answer=yes", "application/x-www-form-urlencoded", SERVER_NAME="127.0.0.1")

    send(paths[:10])
    return profiling.profile(lambda: send(paths[10:]), len(paths) - 10)
