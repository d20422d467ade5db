"""The first load of ten thousand appointments, and a poll that finds none of them changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from bench import clinic, profiling
from bench.clinic import Clinic, Time
from bench.direct import Direct
from bench.environment import Surroundings
from bench.figures import Figure, Result, Rounds
from bench.floors.models import FloorAppointment
from bench.multiplying import finish
from bench.multiplying import run as execute
from integrations.ehr import load, poll
from integrations.models import Connection
from scheduling.models import Appointment

NAME = "loading"
PAGE_SIZE = "500"
PATIENTS, PROVIDERS, PER_DAY = 300, 20, 16
BACK, AHEAD = timedelta(days=30), timedelta(days=90)


def run(surroundings: Surroundings) -> Result:
    """Load and poll with the product and with the floors in turn, from the same EHR."""
    count = surroundings.size(10_000, 600)
    result = Result(NAME, f"{count:,} appointments: first load, and a poll without changes")
    surroundings.database("bench_loading")
    with clinic.sandbox(surroundings.directory) as ehr:
        ehr.fill(_people())
        connection = clinic.connect(ehr)
        load.load(connection.pk)
        before = timezone.now()
        ehr.fill(_appointments(count))
        _Measurement(result, ehr, connection, count, before).run(surroundings.rounds)
    return result


class _Measurement:
    """Everything measured against one EHR."""

    def __init__(self, result: Result, ehr: Clinic, connection: Connection, count: int, before: datetime) -> None:
        self._result, self._connection, self._count = result, connection, count
        self._direct = Direct(ehr)
        self._before = before

    def run(self, rounds: int) -> None:
        """Measure round by round and report."""
        taken: dict[str, list[float]] = {"load": [], "upsert": [], "again": [], "poll": [], "compare": []}
        for _ in range(rounds):
            taken["load"].append(self._load())
            taken["upsert"].append(self._upsert())
            taken["again"].append(self._load_again())
            taken["poll"].append(self._poll())
            taken["compare"].append(self._compare())
        found = {name: Rounds(tuple(values)) for name, values in taken.items()}
        self._result.figures += [
            Figure("first load", "s", found["load"], "fetch and bulk upsert", found["upsert"], 2.0),
            Figure("load again, nothing changed", "s", found["again"], "fetch and compare versions", found["compare"]),
            Figure("poll, nothing changed", "s", found["poll"], "fetch and compare versions", found["compare"], 1.25),
        ]
        self._result.profile = profiling.profile(self._load, 1) + "\n\nthe poll:\n" + profiling.profile(self._poll, 1)

    def _load(self) -> float:
        """Return the seconds from the end of the patients, which are known by then, to the end of the load."""
        execute("TRUNCATE scheduling_appointment CASCADE")
        execute("DELETE FROM scheduling_externalid WHERE kind = 'appointment'")
        finish()
        others_done = 0.0

        def progress(kind: str, loaded: int) -> None:
            nonlocal others_done
            if kind != "appointment":
                others_done = time.perf_counter()

        load.load(self._connection.pk, progress)
        seconds = time.perf_counter() - others_done
        self._result.check("every appointment was loaded", Appointment.objects.count() == self._count)
        self._forget_repeated_checks()
        return seconds

    def _load_again(self) -> float:
        """Return the seconds of a whole load, people too, when everything is here already."""
        reports: list[load.Report] = []
        seconds = _seconds(lambda: reports.append(load.load(self._connection.pk)))
        self._result.check("loaded again, everything was unchanged", reports[0].unchanged == reports[0].loaded)
        self._forget_repeated_checks()
        return seconds

    def _upsert(self) -> float:
        execute(f"TRUNCATE {FloorAppointment._meta.db_table}")
        finish()
        return _seconds(self._fetch_and_upsert)

    def _fetch_and_upsert(self) -> None:
        now = timezone.now()
        window = [("date", f"ge{_utc(now - BACK)}"), ("date", f"lt{_utc(now + AHEAD)}"), ("_count", PAGE_SIZE)]
        for page in self._direct.pages(window):
            FloorAppointment.objects.bulk_create(
                [_row(resource) for resource in page],
                update_conflicts=True,
                unique_fields=["external_id"],
                update_fields=["version", "status", "start", "end", "patient", "provider", "location"],
            )

    def _poll(self) -> float:
        Connection.objects.filter(pk=self._connection.pk).update(cursor=self._before)
        found: list[poll.Poll | None] = []
        seconds = _seconds(lambda: found.append(poll.poll(self._connection.pk)))
        self._result.check(
            "the poll read all and found nothing changed",
            found == [poll.Poll(seen=self._count, changed=0, quarantined=0)],
        )
        self._forget_repeated_checks()
        return seconds

    def _compare(self) -> float:
        differing: list[int] = []
        seconds = _seconds(lambda: differing.append(self._fetch_and_compare()))
        self._result.check("the floor found nothing changed either", differing == [0])
        self._forget_repeated_checks()
        return seconds

    def _fetch_and_compare(self) -> int:
        since = f"ge{_utc(self._before - timedelta(minutes=5))}"
        differing = 0
        for page in self._direct.pages([("_lastUpdated", since), ("_sort", "_lastUpdated"), ("_count", PAGE_SIZE)]):
            versions = {resource["id"]: resource["meta"]["versionId"] for resource in page}
            rows = FloorAppointment.objects.filter(external_id__in=versions)
            held = dict(rows.values_list("external_id", "version"))
            differing += sum(held.get(name) != version for name, version in versions.items())
        return differing

    def _forget_repeated_checks(self) -> None:
        self._result.checks = list(dict.fromkeys(self._result.checks))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _people() -> Iterator[dict[str, Any]]:
    yield clinic.location()
    for number in range(PROVIDERS):
        yield from clinic.practitioner(f"provider{number}")
    for number in range(PATIENTS):
        yield clinic.patient(f"patient-{number}", number)


def _appointments(count: int) -> Iterator[dict[str, Any]]:
    """Yield so many half hours from ten days ago on, sixteen a day and provider."""
    first = clinic.midnight() - timedelta(days=10) + timedelta(hours=13)
    for number in range(count):
        day, rest = divmod(number, PROVIDERS * PER_DAY)
        provider, half_hour = divmod(rest, PER_DAY)
        start = first + timedelta(days=day, minutes=30 * half_hour)
        at = Time(f"provider{provider}", f"slot-{number}", start)
        yield clinic.appointment(at, f"patient-{number % PATIENTS}", id=at.booking)


def _row(resource: dict[str, Any]) -> FloorAppointment:
    """Return the least that is made of an appointment."""
    people = dict.fromkeys(("Patient", "Practitioner", "Location"), "")
    for participant in resource["participant"]:
        kind, _, name = participant["actor"]["reference"].partition("/")
        people[kind] = name
    coding = resource["appointmentType"]["coding"][0]
    return FloorAppointment(
        external_id=resource["id"],
        version=resource["meta"]["versionId"],
        status=resource["status"],
        start=datetime.fromisoformat(resource["start"]),
        end=datetime.fromisoformat(resource["end"]),
        patient=people["Patient"],
        provider=people["Practitioner"],
        location=people["Location"],
        type_system=coding["system"],
        type_code=coding["code"],
        type_display=coding["display"],
    )


def _utc(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"
