"""A claim that PostgreSQL ends to resolve a deadlock is tried once more: the patient never sees it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction
from django.db.models import F
from django.utils import timezone

from scheduling.models import Opening, Provider
from tests import factories
from waitlist import claims
from waitlist.models import Claim, Offer

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def look_for_deadlocks_after(wait: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET deadlock_timeout = '{wait}'")


def somebody_waits_for_us() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS ("
            "SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
        )
        return bool(cursor.fetchone()[0])


def test_the_victim_tries_again() -> None:
    """A cancellation locks the provider and then holds the day's openings; a claim locks them the other way round."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite writes one transaction after the other: nothing there can wait for each other")
    location, provider, kind = factories.location(), factories.provider(), factories.appointment_type()
    opening = factories.opening(provider, location, start=timezone.now() + timedelta(days=2), status="offering")
    offer = factories.offer(opening, factories.entry(factories.patient(), kind))
    results: list[claims.ClaimResult] = []

    def say_yes() -> None:
        try:
            look_for_deadlocks_after("3s")
            row = Offer.objects.select_related("opening", "patient", "entry", "appointment_type").get(pk=offer.pk)
            results.append(claims.claim(row.opening, row.patient, offer=row, channel="link"))
        finally:
            connections.close_all()

    patient = threading.Thread(target=say_yes)
    with transaction.atomic():
        look_for_deadlocks_after("60s")
        Provider.objects.filter(pk=provider.pk).update(claim_serial=F("claim_serial") + 1)
        patient.start()
        wait_until(somebody_waits_for_us)
        # Whoever looks first and finds itself in a circle gives way: the claim.
        Opening.objects.filter(pk=opening.pk).update(attention_due_at=timezone.now())
    look_for_deadlocks_after("1s")
    patient.join(timeout=30)
    assert [result.outcome for result in results] == ["won"]
    assert Claim.objects.count() == 1
