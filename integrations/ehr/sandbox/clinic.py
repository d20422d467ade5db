"""The synthetic clinic as resources, and loading it into a store."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from .clinic_calendar import calendar
from .clinic_coverage import coverage
from .clinic_history import history
from .clinic_people import patients
from .clinic_setup import RIVERSIDE, practice
from .store import Store


def build_clinic(today: date) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """All resources in an order in which each refers only to earlier ones, and (slot id, appointment id) holds.

    The same day gives the same clinic, to the byte.
    """
    people = patients(today)
    slots, appointments, holds = calendar(today, people)
    resources = [*practice(today), *people, *slots, *appointments, *history(today, people)]
    return [*resources, *coverage(today, people)], holds


def load_clinic(store: Store, today: date | None, *, replaces: bool = False) -> bool:
    """Fill an empty store, or with ``replaces`` any; Subscriptions stay. Returns False when nothing was done."""
    day = today or datetime.now(ZoneInfo(RIVERSIDE.zone)).date()
    resources, holds = build_clinic(day)
    with store.writing() as transaction:
        connection = transaction.connection
        if connection.execute("SELECT 1 FROM resources WHERE type = 'Patient' LIMIT 1").fetchone() and not replaces:
            return False
        if replaces:
            connection.execute("DELETE FROM resources WHERE type != 'Subscription'")
            connection.execute("DELETE FROM versions WHERE type != 'Subscription'")
            connection.execute("DELETE FROM terms WHERE key NOT IN (SELECT key FROM resources)")
            connection.execute("DELETE FROM slot_holds")
            connection.execute("DELETE FROM notifications")
            connection.execute("DELETE FROM subscription_events")
            connection.execute("DELETE FROM proposals")
            connection.execute("DELETE FROM holds")
            connection.execute("DELETE FROM messages")
        transaction.load(resources)
        connection.executemany("INSERT INTO slot_holds VALUES (?, ?)", holds)
    return True
