"""A claim that PostgreSQL ends to resolve a deadlock is tried again: the patient never sees it."""

from __future__ import annotations

import threading
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.db.models import F
from django.utils import timezone

from scheduling.contention import DEADLOCK
from scheduling.models import Opening, Provider
from tests import factories
from tests.race import ended_by_the_database, somebody_waits_for_us, wait_until
from waitlist import claims, winning
from waitlist.models import Claim, Offer

pytestmark = pytest.mark.django_db


def an_offer() -> Offer:
    location, provider, kind = factories.location(), factories.provider(), factories.appointment_type()
    opening = factories.opening(provider, location, start=timezone.now() + timedelta(days=2), status="offering")
    return factories.offer(opening, factories.entry(factories.patient(), kind))


def look_for_deadlocks_after(wait: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET deadlock_timeout = '{wait}'")


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_the_victim_tries_again() -> None:
    """A cancellation locks the provider and then holds the day's openings; a claim locks them the other way round."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite writes one transaction after the other: nothing there can wait for each other")
    offer = an_offer()
    opening, provider = offer.opening, offer.opening.provider
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


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr("waitlist.winning.time", SimpleNamespace(sleep=slept.append))
    return slept


def end_the_first(times: int, sqlstate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    book, left = winning._book, iter(range(times))

    def ended(wish: winning.Wish) -> Claim:
        if next(left, None) is not None:
            raise ended_by_the_database(sqlstate)
        return book(wish)

    monkeypatch.setattr("waitlist.winning._book", ended)


def test_those_it_gave_way_to_get_their_turn_first(pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    offer = an_offer()
    end_the_first(3, DEADLOCK, monkeypatch)
    assert claims.claim(offer.opening, offer.patient, offer=offer, channel="link").outcome == "won"
    assert [low <= slept <= 1.5 * low for low, slept in zip(winning.PAUSES, pauses, strict=True)] == [
        True,
        True,
        True,
    ], pauses


def test_it_is_not_tried_for_ever(pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    offer = an_offer()
    end_the_first(4, DEADLOCK, monkeypatch)
    with pytest.raises(OperationalError):
        claims.claim(offer.opening, offer.patient, offer=offer, channel="link")
    assert len(pauses) == 3


def test_another_fault_of_the_database_is_not_tried_again(pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    offer = an_offer()
    end_the_first(1, "57014", monkeypatch)
    with pytest.raises(OperationalError):
        claims.claim(offer.opening, offer.patient, offer=offer, channel="link")
    assert pauses == []
