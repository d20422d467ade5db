"""Connects an EHR from the command line: address, login, and what it lets us do."""

from __future__ import annotations

import getpass
import os
import sys
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.urls import reverse

from integrations.ehr import checking, event_stream, signing_keys
from integrations.ehr.fhir.scopes import with_right_to_register
from integrations.ehr.gateway import Finding
from integrations.models import Connection, connection_kinds
from scheduling.models import Source

SECRET_VARIABLE = "EHR_CLIENT_SECRET"  # noqa: S105 - the name of a variable
WORDS = {"yes": "yes", "partly": "in part", "no": "NO", "not_tried": "not tried"}
Login = Connection.LoginMethod


class Command(BaseCommand):
    help = (
        "Enter an EHR, or change what was entered, and check what it lets us do. The client secret is read from "
        f"{SECRET_VARIABLE} or asked for: never from the command line, which other people can see."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="a short name, as it stands in the webhook's address")
        parser.add_argument("--address", help="the base address: of FHIR R4, or of what the kind speaks")
        parser.add_argument("--name", help="the name staff see; the slug where there is none")
        parser.add_argument("--kind", choices=[kind for kind, _ in connection_kinds()], help="which dialect it speaks")
        parser.add_argument("--client-id", help="as the vendor registered it")
        parser.add_argument("--login", choices=Login.values, help="how we log in")
        parser.add_argument("--token-url", help="only where the EHR does not publish it")
        parser.add_argument("--scope", help="the rights to ask for")
        parser.add_argument(
            "--registers",
            choices=Source.Registers.values,
            help="who registers patients the EHR does not know; machine asks for the right to write patients",
        )
        parser.add_argument("--mrn-system", help="the identifier system of its medical record numbers")

    def handle(self, *args: Any, **options: Any) -> None:
        connection = self._connection(options)
        if connection.login_method == Login.SIGNED:
            self._show_key(connection)
        self.stdout.write(f"Checking {connection.base_url or connection.slug} ...")
        found = checking.check(connection)
        for each in found:
            self.stdout.write(_line(each))
        self.stdout.write("")
        if any(each.verdict == "no" and each.key in ("address", "server", "login") for each in found):
            raise CommandError("It is not connected yet. Mend what is marked NO and run the same command again.")
        if connection.only_sends:
            address = settings.PUBLIC_BASE_URL + reverse("ehr-webhook", args=[connection.slug])
            self.stdout.write(f"Next: have the interface engine send ADT and SIU to {address}")
        else:
            self.stdout.write(f"Next: manage.py load_ehr {connection.slug}")

    def _connection(self, options: dict[str, Any]) -> Connection:
        connection = Connection.objects.filter(slug=options["slug"]).first()
        if connection is None:
            if not options["address"] and options["kind"] != Connection.Kind.HL7V2:
                raise CommandError(f"There is no connection {options['slug']} yet. Name its --address to add it.")
            connection = Connection(slug=options["slug"], state=Connection.State.PAUSED)
        given = {field: options[option] for field, option in _FIELDS.items() if options[option] is not None}
        changed = [field for field, value in given.items() if getattr(connection, field) != value]
        for field, value in given.items():
            setattr(connection, field, value)
        if options["registers"] == Source.Registers.MACHINE:
            connection.scope = with_right_to_register(connection.scope)
        problem = "" if connection.only_sends else checking.address_problem(connection.base_url)
        if problem:
            raise CommandError(f"{problem} Nothing was stored.")
        if connection.only_sends:
            connection.login_method = Login.NONE
        if connection.login_method in (Login.SECRET_BASIC, Login.SECRET_POST):
            connection.client_secret = self._secret(connection)
        self._store(connection, options["name"], options["registers"])
        event_stream.follow(connection, changed)
        return connection

    def _secret(self, connection: Connection) -> str:
        given = os.environ.get(SECRET_VARIABLE, "")
        if not given and not connection.client_secret and sys.stdin.isatty():
            given = getpass.getpass("Client secret: ")
        secret: str = given or connection.client_secret
        if not secret:
            raise CommandError(f"This login needs a client secret. Put it into {SECRET_VARIABLE}. Nothing was stored.")
        return secret

    def _store(self, connection: Connection, name: str | None, registers: str | None) -> None:
        try:
            with transaction.atomic():
                if connection._state.adding:
                    key = connection.slug[:60]
                    connection.source, _ = Source.objects.get_or_create(key=key, defaults={"name": name or key})
                if registers and connection.source.registers_patients != registers:
                    connection.source.registers_patients = registers
                    connection.source.save(update_fields=["registers_patients"])
                connection.full_clean()
                connection.save()
        except ValidationError as error:
            wrong = "; ".join(f"{field}: {' '.join(says)}" for field, says in error.message_dict.items())
            raise CommandError(f"{wrong} Nothing was stored.") from None

    def _show_key(self, connection: Connection) -> None:
        key = signing_keys.ensure(connection)
        address = settings.PUBLIC_BASE_URL + reverse("ehr-key-set", args=[connection.slug])
        self.stdout.write(f"Give the vendor this address of our public keys ({key.algorithm}): {address}")


_FIELDS = {
    "base_url": "address",
    "kind": "kind",
    "client_id": "client_id",
    "login_method": "login",
    "token_url": "token_url",
    "scope": "scope",
    "mrn_system": "mrn_system",
}


def _line(each: Finding) -> str:
    return f"  {WORDS[each.verdict]:9} {each.question} {each.says} {each.costs}".rstrip()
