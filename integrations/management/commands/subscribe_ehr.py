"""Asks a connection's EHR to notify this installation of every change to an appointment."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from integrations.ehr.fhir import subscriptions
from integrations.ehr.gateway import GatewayError
from integrations.models import Connection


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
        endpoint = settings.PUBLIC_BASE_URL + reverse("ehr-webhook", args=[connection.slug])
        try:
            number = subscriptions.subscribe(connection, endpoint)
        except GatewayError as error:
            raise CommandError(
                f"The EHR did not take the subscription: {error.detail or error.code}. Nothing is lost: changes are "
                f"polled every {connection.poll_minutes} minutes."
            ) from None
        self.stdout.write(f"Subscription/{number} notifies {endpoint}")
