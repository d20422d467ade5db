"""How far the machine may go with each clinician: off, ask first, automatic. A practice goes live one by one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction

from scheduling.models import Bookable, ExternalId, Provider, Source

Mode = Bookable.Mode


@dataclass(frozen=True, slots=True)
class Readiness:
    """A clinician, and how many of their kinds of visit are in each mode (by Bookable.Mode)."""

    provider: Provider
    modes: dict[str, int]

    @property
    def mode(self) -> str:
        """The one mode that all their kinds of visit are in, "mixed", or "" when none is entered."""
        used = [mode for mode, count in self.modes.items() if count]
        return used[0] if len(used) == 1 else "mixed" if used else ""

    @property
    def count(self) -> int:
        """How many kinds of visit are entered for them."""
        return sum(self.modes.values())


def readiness(source: Source) -> list[Readiness]:
    """Return every clinician that ``source`` knows, by name."""
    ids = ExternalId.objects.filter(source=source, kind=ExternalId.Kind.PROVIDER).values("object_id")
    providers = Provider.objects.filter(pk__in=ids, active=True).order_by("name").prefetch_related("bookables")
    return [Readiness(provider, _counts(provider.bookables.all())) for provider in providers]


def _counts(bookables: Iterable[Bookable]) -> dict[str, int]:
    counts = dict.fromkeys(Mode.values, 0)
    for bookable in bookables:
        counts[bookable.mode] += 1
    return counts


def set_mode(provider: Provider, mode: str) -> int:
    """Put all kinds of visit of a clinician into ``mode``; return how many changed. Raises ValueError for another."""
    mode = Mode(mode)
    changed = 0
    with transaction.atomic():
        for bookable in provider.bookables.exclude(mode=mode):
            bookable.mode = mode
            bookable.save(update_fields=("mode",))  # one by one: each is a line in the audit trail
            changed += 1
    return changed
