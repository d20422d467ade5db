"""Loads a connection's EHR into the mirror: the first time, or again after a long silence."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from integrations.ehr import load
from integrations.ehr.gateway import GatewayError
from integrations.models import Connection


class Command(BaseCommand):
    help = "Mirror an EHR: its locations, clinicians, patients, and appointments from 30 days back to 90 ahead."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the connection's slug, as in its webhook address")

    def handle(self, *args: Any, **options: Any) -> None:
        connection = Connection.objects.filter(slug=options["slug"]).first()
        if connection is None:
            known = ", ".join(Connection.objects.order_by("slug").values_list("slug", flat=True)) or "none yet"
            raise CommandError(f"There is no connection {options['slug']}. Connections: {known}.")
        try:
            report = load.load(connection.pk, progress=self._show)
        except load.AlreadyRunning as running:
            raise CommandError(str(running)) from None
        except GatewayError as error:
            raise CommandError(
                f"The EHR could not be read to the end: {error.detail or error.code}. What was loaded stays; "
                "run the same command again."
            ) from None
        self.stdout.write("")
        for kind, count in report.loaded.items():
            held = report.unchanged[kind]
            self.stdout.write(
                f"{count:7} {kind}{'' if count == 1 else 's'}" + (f", {held} of them here already" if held else "")
            )
        if report.quarantined or report.unresolved:
            self.stdout.write(
                f"{report.quarantined} could not be read and {report.unresolved} refer to somebody the EHR does not "
                "have; the worklist shows them."
            )

    def _show(self, kind: str, count: int) -> None:
        self.stdout.write(f"\r{kind}: {count}   ", ending="")
        self.stdout.flush()
