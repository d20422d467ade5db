"""Rows copied into a table in bulk: in order, with their defaults, all or none, and never what must be encrypted."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from scheduling import copying
from scheduling.models import ContactPoint, ExternalId, PatientSearchToken, Provider, Source
from tests import factories

pytestmark = pytest.mark.django_db

COLUMNS = ("source_id", "kind", "value", "object_id")
AWKWARD = ("\\N", "\\.", "a\tb", "line\nbreak", "“ü”", "'; --", '{"a"}', "")


def test_keys_come_in_the_order_of_the_rows() -> None:
    source = factories.source()
    rows = [(source.pk, "patient", f"p-{number}", number) for number in (3, 1, 2)]
    keys = copying.insert(ExternalId, COLUMNS, rows)
    assert [ExternalId.objects.get(pk=key).value for key in keys] == ["p-3", "p-1", "p-2"]
    held = ExternalId.objects.get(value="p-3")
    assert (held.version, held.seen_at, held.object_id) == ("", None, 3)
    # The next row by the ORM gets a key of its own.
    assert factories.external_id(source, "patient", factories.provider(), "p-4").pk not in keys


def test_text_arrives_as_it_was() -> None:
    source = factories.source()
    copying.insert(ExternalId, COLUMNS, [(source.pk, "patient", text, 1) for text in AWKWARD])
    assert set(ExternalId.objects.values_list("value", flat=True)) == set(AWKWARD)


def test_columns_that_are_left_out_get_their_defaults() -> None:
    (key,) = copying.insert(Provider, ("name",), [("Dr. Ana",)])
    row = Provider.objects.get(pk=key)
    assert (row.name, row.npi, row.active, row.claim_serial) == ("Dr. Ana", "", True, 0)


def test_no_rows_are_no_statement(django_assert_num_queries: object) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]
        assert copying.insert(Source, ("key",), []) == []


def test_a_row_that_is_there_already_refuses_them_all() -> None:
    source = factories.source()
    rows = [(source.pk, "patient", value, 1) for value in ("p-1", "p-2", "p-1")]
    with pytest.raises(IntegrityError), transaction.atomic():
        copying.insert(ExternalId, COLUMNS, rows)
    assert not ExternalId.objects.exists()


def test_what_must_be_encrypted_is_refused() -> None:
    with pytest.raises(TypeError, match="encrypted"):
        copying.insert(ContactPoint, ("patient_id", "value"), [(1, "+12125550101")])


@pytest.mark.parametrize("asked", [AWKWARD, (), ("ü",), ("x",) * 3000])
def test_one_of_many_texts(asked: tuple[str, ...]) -> None:
    patient = factories.patient()
    PatientSearchToken.objects.all().delete()
    texts = ("\\N", "\\.", "a\tb", "line\nbreak", "“ü”", "'; --", '{"a"}', "", "other")
    for text in texts:
        PatientSearchToken.objects.create(patient=patient, token=text)
    found = PatientSearchToken.objects.filter(token__among=asked).values_list("token", flat=True)
    assert sorted(found) == sorted(set(texts) & set(asked))
    assert PatientSearchToken.objects.exclude(token__among=asked).count() == len(texts) - len(found)
