"""Asks a connection's EHR to notify this installation of every change to an appointment."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from integrations.ehr import event_stream
from integrations.ehr.gateway import GatewayError
from integrations.models import Connection
from scheduling.counting import counted


class Command(BaseCommand):
    help = "Create the FHIR Subscription by which the EHR tells us of changes; safe to repeat."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the connection's slug, as in its webhook address")

    def handle(self, *args: Any, **options: Any) -> None:
        connection = Connection.objects.filter(slug=options["slug"]).first()
        if connection is None:
            raise CommandError(f"There is no connection {options['slug']}. The staff site lists them.")
        if not connection.webhook_secrets:
            raise CommandError("The connection has no webhook secret yet. Give it one on the staff site, then repeat.")
        try:
            row = event_stream.start(connection)
        except GatewayError as error:
            raise CommandError(
                f"The EHR did not take the subscription: {error.detail or error.code}. Nothing is lost: changes are "
                f"polled every {counted(connection.poll_minutes, 'minute')}."
            ) from None
        self.stdout.write(f"Subscription/{row.external_id} is {row.get_status_display()}.")
