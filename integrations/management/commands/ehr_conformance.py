"""Asks an EHR whether it behaves as its adapter says; only reads unless asked to write."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from audit.context import correlated, service
from integrations.ehr import conformance, conformance_writing
from integrations.ehr.gateway import Booking, connect
from integrations.models import Connection

TRIAL = ("patient", "provider", "location", "start")


class Command(BaseCommand):
    help = (
        "Put the same questions to a connection's EHR that every adapter is tested by. It only reads; with --write it "
        "books one time for a test patient and cancels it again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the connection's slug; connect_ehr makes one for any FHIR address")
        parser.add_argument("--write", action="store_true", help="also book and cancel; needs the next four")
        parser.add_argument("--patient", help="the EHR's id of a test patient")
        parser.add_argument("--provider", help="the EHR's id of a clinician")
        parser.add_argument("--location", help="the EHR's id of a location")
        parser.add_argument("--start", help="a free time, with its offset: 2030-01-31T09:00-05:00")
        parser.add_argument(
            "--leave-booked", action="store_true", help="write even where the EHR does not let us cancel afterwards"
        )
        parser.add_argument("--minutes", type=int, default=30, help="how long it lasts (default: 30)")
        parser.add_argument("--type", default="", help="the visit's type in the EHR, as system|code")

    def handle(self, *args: Any, **options: Any) -> None:
        connection = Connection.objects.filter(slug=options["slug"]).first()
        if connection is None:
            raise CommandError(f"There is no connection {options['slug']}. Add it first: manage.py connect_ehr.")
        trial = _trial(options) if options["write"] else None
        gateway = connect(connection)
        with service("ehr_conformance"), correlated():
            results = self._show(conformance.read_only(gateway))
            if trial is not None and not gateway.capabilities.cancels and not options["leave_booked"]:
                raise CommandError(
                    "This EHR does not let us cancel, so what is booked would stay. Nothing was booked. With "
                    "--leave-booked it is tried all the same, and you cancel it in the EHR."
                )
            if trial is not None:
                results += self._show(conformance_writing.writing(gateway, trial))
        failed = sum(result.verdict == "failed" for result in results)
        self.stdout.write(f"{len(results)} questions, {failed} failed")
        if failed:
            raise CommandError("The EHR does not do all that its adapter relies on; see above.")

    def _show(self, results: Any) -> list[conformance.Result]:
        shown = []
        for result in results:
            self.stdout.write(f"  {result.verdict:11}  {result.question}. {result.detail}".rstrip())
            shown.append(result)
        return shown


def _trial(options: dict[str, Any]) -> Booking:
    missing = [f"--{name}" for name in TRIAL if not options[name]]
    if missing:
        raise CommandError(f"To write, name {', '.join(missing)}. Nothing was sent.")
    start = _moment(options["start"])
    system, _, code = options["type"].rpartition("|")
    return Booking(
        key="",
        patient_id=options["patient"],
        provider_id=options["provider"],
        location_id=options["location"],
        start=start,
        end=start + timedelta(minutes=options["minutes"]),
        type_system=system,
        type_code=code,
    )


def _moment(written: str) -> datetime:
    try:
        start = parse_datetime(written)
    except ValueError:
        start = None
    if start is None or start.tzinfo is None:
        raise CommandError("--start is a date and time with its offset: 2030-01-31T09:00-05:00. Nothing was sent.")
    if start <= timezone.now():
        raise CommandError("--start lies in the past. Nothing was sent.")
    return start
