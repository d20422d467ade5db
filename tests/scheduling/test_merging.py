"""One record stands for another until the merge is undone, and says meanwhile what holds for the person."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from scheduling import merging
from scheduling.models import ExternalId, Patient, PatientMerge, Source
from scheduling.patients import apply_patient
from scheduling.records import PatientRecord
from tests import factories

pytestmark = pytest.mark.django_db

ToldBy = PatientMerge.ToldBy


class Told:
    """Patients of one EHR, by their ids there, as it tells them: one version after the other."""

    def __init__(self, source: Source) -> None:
        self.source, self.version = source, 0

    def __call__(self, name: str, **fields: Any) -> Patient:
        self.version += 1
        apply_patient(self.source, PatientRecord(name, str(self.version), **fields), timezone.now())
        return self[name]

    def __getitem__(self, name: str) -> Patient:
        pk = ExternalId.objects.get(source=self.source, kind=ExternalId.Kind.PATIENT, value=name).object_id
        return Patient.objects.get(pk=pk)


@pytest.fixture
def told() -> Told:
    """An EHR with an old record, a new one and a third."""
    says = Told(factories.source())
    for name in ("old", "new", "third"):
        says(name)
    return says


def holding() -> list[tuple[int, int, str]]:
    rows = PatientMerge.objects.filter(undone_at=None).order_by("pk")
    return list(rows.values_list("retired", "kept", "told_by"))


def test_an_undone_merge_replaces_nobody_and_is_undone_once(told: Told) -> None:
    merge = merging.merge(told["old"], told["new"], told_by=ToldBy.STAFF)
    seen_by_two = PatientMerge.objects.get()
    assert merging.undo(merge)
    Patient.objects.filter(pk=told["new"].pk).update(restricted=True)
    PatientMerge.objects.update(moved=[{"restricted": told["new"].pk}])
    seen_by_two.refresh_from_db(fields=["moved"])
    assert not merging.undo(seen_by_two)
    assert told["new"].restricted
    assert merging.holding(told["old"]) is None
    assert merging.replacement(told["old"], None, has_link=False) is None
    assert told("old").replaced_by is None
    merging.follow(told["old"])
    assert told["new"].restricted


@pytest.mark.parametrize("told_by", [ToldBy.MESSAGE, ToldBy.STAFF])
def test_what_a_message_or_staff_said_stands_while_the_ehrs_record_names_nobody(told: Told, told_by: str) -> None:
    merging.merge(told["old"], told["new"], told_by=told_by)
    for _ in range(2):
        assert told("old").replaced_by == told["new"]
    assert holding() == [(told["old"].pk, told["new"].pk, told_by)]


def test_once_the_ehrs_record_says_it_itself_its_word_counts(told: Told) -> None:
    merging.merge(told["old"], told["new"], told_by=ToldBy.MESSAGE)
    told("old", replaced_by="new")
    assert holding() == [(told["old"].pk, told["new"].pk, "link")]
    assert told("old").replaced_by is None
    assert holding() == []


def test_a_link_to_another_record_ends_the_merge_before_and_what_it_brought(told: Told) -> None:
    Patient.objects.filter(pk=told["old"].pk).update(restricted=True)
    told("old", replaced_by="new")
    assert told["new"].restricted
    told("old", replaced_by="third")
    assert holding() == [(told["old"].pk, told["third"].pk, "link")]
    assert (told["new"].restricted, told["third"].restricted) == (False, True)


def test_two_that_are_one_already_cannot_be_merged_the_other_way_round(told: Told) -> None:
    merging.merge(told["old"], told["new"], told_by=ToldBy.STAFF)
    with pytest.raises(merging.MergeRefused, match="kept is replaced by the other one"):
        merging.merge(told["new"], told["old"], told_by=ToldBy.STAFF)
    with pytest.raises(merging.MergeRefused, match="retired is replaced by another one"):
        merging.merge(told["old"], told["third"], told_by=ToldBy.STAFF)
    assert len(holding()) == 1


def test_a_death_that_the_ehr_takes_back_is_over_where_no_other_record_of_the_person_says_it(told: Told) -> None:
    told("old", replaced_by="new")
    assert told("new", deceased=True).deceased
    assert not told("new").deceased


def test_a_death_told_under_one_record_stays_while_that_of_another_person_is_taken_back(told: Told) -> None:
    told("old", replaced_by="new", deceased=True)
    told("third", deceased=True)
    told("third", deceased=True)
    assert not told("third").deceased
    assert told("new").deceased
    told("old")
    assert not told["new"].deceased
