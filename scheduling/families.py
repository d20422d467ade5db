"""The records of one person: the one in use and those it replaces, however many merges lie between.

A merge moves no appointment, no message and no offer: whoever asks what a person has, was sent or was offered asks
for all of their records. An undone merge then needs nothing put back.
"""

from __future__ import annotations

from collections.abc import Iterable

from scheduling.matching import successor
from scheduling.models import Patient


def records_of(patient_ids: Iterable[int]) -> dict[int, frozenset[int]]:
    """Return for each of these records its own key and those of all that it replaces.

    One query where nothing was merged, one more for every link of the longest chain.
    """
    wanted = set(patient_ids)
    replaces: dict[int, list[int]] = {}
    front, seen = wanted, set(wanted)
    while front:
        found = Patient.objects.filter(replaced_by__in=front).order_by("pk").values_list("pk", "replaced_by_id")
        front = set()
        for pk, kept in found:
            replaces.setdefault(kept, []).append(pk)
            front.add(pk)
        front -= seen
        seen |= front
    return {pk: _closure(pk, replaces) for pk in wanted}


def records_of_one(patient_id: int) -> frozenset[int]:
    """Return the record's own key and those of all that it replaces."""
    return records_of([patient_id])[patient_id]


def all_records(patient: Patient) -> frozenset[int]:
    """Return the keys of all records of the person, whichever of them ``patient`` is."""
    return records_of_one(successor(patient).pk)


def in_use(patients: Iterable[Patient]) -> list[Patient]:
    """Return the records that stand for these, each once, in the same order."""
    return list({each.pk: each for each in map(successor, patients)}.values())


def _closure(pk: int, replaces: dict[int, list[int]]) -> frozenset[int]:
    found, front = {pk}, [pk]
    while front:
        beyond = [each for each in replaces.get(front.pop(), ()) if each not in found]
        found.update(beyond)
        front += beyond
    return frozenset(found)
