from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.context import correlated, service
from audit.rotation import rotate_all


class Command(BaseCommand):
    help = (
        "Re-encrypts all stored values under the first of FIELD_ENCRYPTION_KEYS while the system runs. "
        "May be interrupted and repeated at any time."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("models", nargs="*", help="app.Model; all models with encrypted fields by default")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            chosen = [apps.get_model(label) for label in options["models"]] or None
        except (LookupError, ValueError) as error:
            raise CommandError(f"{error} Nothing was changed.") from None
        with service("command: rotate_field_keys"), correlated():
            totals = rotate_all(chosen)
        for label, total in totals.items():
            self.stdout.write(f"{label}: {total.moved} moved, {total.overtaken} left, {total.unreadable} unreadable")
        if any(total.overtaken or total.unreadable for total in totals.values()):
            raise CommandError(
                "Some values are not under the first key yet. Keep all keys configured. Run the command again; if "
                "'unreadable' stays, the key those values were written under is missing from FIELD_ENCRYPTION_KEYS."
            )
        if chosen:
            self.stdout.write(
                "All values of these are under the first key. Run it without names before you remove a key: others may "
                "still need it."
            )
        else:
            self.stdout.write("All values are under the first key.")
