"""From the EHR's notification to committed offers, and from a patient's yes to the booking read back."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from audit.context import correlated, service
from bench import clinic, stack
from bench.direct import Direct
from bench.environment import Surroundings
from bench.figures import Figure, Result, Rounds, percentile
from bench.listening import BOOKED, OFFERS, Listener
from bench.practice import Practice, Running
from integrations.ehr import availability, inbox
from integrations.models import ApiCall, InboundEvent
from scheduling import openings
from scheduling.models import Opening, Writeback
from waitlist import attention, offers
from waitlist.models import Claim

NAME = "loop"
PARTS = ("store", "fetch and apply", "availability", "match and offers")


def run(surroundings: Surroundings) -> Result:
    """Each round: samples of the whole loop, its parts one by one, and the EHR asked directly, in turn."""
    samples, parts = surroundings.size(100, 3), surroundings.size(20, 2)
    rounds, warm_up = surroundings.rounds, surroundings.size(10, 2)
    result = Result(NAME, "The loop: webhook to offers, yes to booking")
    url = surroundings.database("bench_loop")
    with clinic.sandbox(surroundings.directory) as ehr:
        practice = Practice(ehr, cancellations=rounds * (samples + parts) + warm_up + 2, direct=rounds * samples + 20)
        web = stack.product(surroundings.directory, url)
        workers = stack.Workers(surroundings.directory, url, web.url)
        listener = Listener(url)
        try:
            measurement = _Measurement(practice, Running(web, workers, listener), Direct(ehr))
            for _ in range(warm_up):
                measurement.sample()
            measurement.forget()
            for _ in range(rounds):
                measurement.round(samples, parts)
            measurement.report(result)
        finally:
            listener.close()
            workers.stop()
            web.stop()
    return result


class _Measurement:
    """What was measured so far, by name and round."""

    def __init__(self, practice: Practice, running: Running, direct: Direct) -> None:
        self._practice, self._running, self._direct = practice, running, direct
        self._patients = 0
        self.forget()

    def forget(self) -> None:
        """Drop what was measured, as after a warm-up."""
        self._rounds: dict[str, list[list[float]]] = defaultdict(list)
        self._booked = self._asked_of_ehr = 0

    def round(self, samples: int, parts: int) -> None:
        """Measure a round: the loop and the EHR alone in turn, then the parts with the workers at rest."""
        for taken in self._rounds.values():
            taken.append([])
        for _ in range(samples):
            self.sample()
        self._running.rest()
        self._running.workers.freeze()
        try:
            for _ in range(parts):
                self._measure_parts()
        finally:
            self._running.workers.thaw()
        self._running.rest()
        self._close_round()

    def sample(self) -> None:
        """Take one cancellation through the whole loop, and ask the EHR directly for the like."""
        at = self._practice.next_to_cancel()
        self._note("EHR: look", self._direct.look_seconds(at.booking, at))
        self._practice.ehr.cancel(at.booking)
        self._running.rest()
        began = self._running.notify(at)
        self._note("answered", time.perf_counter() - began)
        self._note("to offers", self._running.listener.heard(OFFERS) - began)
        self._running.rest()
        opening = self._practice.opening_of(at)
        self._note_hops(opening)
        began = self._running.say_yes(self._practice.link_of_an_offer(opening))
        self._note("to booking", self._running.listener.heard(BOOKED) - began)
        self._running.rest()
        self._asked_of_ehr += 1
        self._booked += Claim.objects.filter(opening=opening, state=Claim.State.CONFIRMED).count()
        free = self._practice.next_free()
        self._patients += 1
        self._note("EHR: book", self._direct.book_seconds(free, f"holder-{self._patients % 40}"))

    def _measure_parts(self) -> None:
        """Take one cancellation as far as its offers by the product's own functions, each timed by itself."""
        at = self._practice.next_to_cancel()
        self._practice.ehr.cancel(at.booking)
        began = self._running.notify(at)
        self._note("store", time.perf_counter() - began)
        event = InboundEvent.objects.latest("pk")
        with service("bench"), correlated(event.correlation_id):
            self._note("fetch and apply", _seconds(lambda: inbox.process(event.pk)))
            attention.drain_openings(timezone.now())
            opening = self._practice.opening_of(at)
            connection = opening.source.connection
            began = time.perf_counter()
            freshness = availability.ask(opening, connection)
            self._note("availability", time.perf_counter() - began)

            def offer() -> None:
                with transaction.atomic():
                    openings.record_check(opening, freshness)
                    offers.send_wave(opening, timezone.now())

            self._note("match and offers", _seconds(offer))
            with transaction.atomic():
                openings.close(opening, Opening.Closed.STAFF)
                offers.withdraw(opening, "not_waiting")

    def _note(self, name: str, seconds: float) -> None:
        taken = self._rounds[name]
        if not taken:
            taken.append([])
        taken[-1].append(seconds * 1000)

    def _close_round(self) -> None:
        for name, taken in self._rounds.items():
            self._rounds[name] = [each for each in taken if each]

    def _note_hops(self, opening: Opening) -> None:
        """Note when each row on the way was written, counted from the row of the event."""
        event = InboundEvent.objects.latest("pk")
        first = opening.offers.order_by("pk")[0]
        moments: tuple[tuple[str, datetime | None], ...] = (
            ("opened", opening.created_at),
            ("asked", opening.checked_at),
            ("offering", first.created_at),
        )
        for name, moment in moments:
            if moment is not None:
                self._note(f"hop {name}", (moment - event.received_at).total_seconds())

    def _per_round(self, name: str, share: float) -> Rounds:
        return Rounds(tuple(percentile(taken, share) for taken in self._rounds[name]))

    def report(self, result: Result) -> None:
        """Turn everything into figures."""
        parts = [self._per_round(name, 0.5) for name in PARTS]
        together = Rounds(tuple(sum(values) for values in zip(*(each.values for each in parts), strict=True)))
        result.figures += [
            Figure(
                "webhook to offers, p50", "ms", self._per_round("to offers", 0.5), "sum of its parts", together, 2.0
            ),
            Figure(
                "webhook to offers, p99",
                "ms",
                self._per_round("to offers", 0.99),
                "the EHR's answers, p99",
                self._per_round("EHR: look", 0.99),
                50,
                distance=True,
            ),
            Figure(
                "yes to booking read back, p99",
                "ms",
                self._per_round("to booking", 0.99),
                "the EHR's create and read, p99",
                self._per_round("EHR: book", 0.99),
                250,
                distance=True,
            ),
            Figure(
                "yes to booking read back, p50",
                "ms",
                self._per_round("to booking", 0.5),
                "the EHR's create and read, p50",
                self._per_round("EHR: book", 0.5),
                distance=True,
            ),
        ]
        result.check("every yes was booked and read back", self._booked == self._asked_of_ehr)
        result.check("no write was repeated", not Writeback.objects.filter(attempts__gt=1).exists())
        result.check("no call to the EHR failed", not ApiCall.objects.exclude(result="ok").exists())
        shown = ", ".join(f"{name} {part.written('ms')}" for name, part in zip(PARTS, parts, strict=True))
        result.notes.append(f"Parts, p50: {shown}.")
        hops = ", ".join(
            f"{name} {self._per_round(f'hop {name}', 0.5).written('ms')}" for name in ("opened", "asked", "offering")
        )
        result.notes.append(
            f"Hops, p50, counted from the event's row: {hops}; the webhook was answered after "
            f"{self._per_round('answered', 0.5).written('ms')}."
        )


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
