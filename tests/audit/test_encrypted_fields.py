import copy
import datetime
import json
import pickle

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import connection, transaction
from django.db.migrations.writer import MigrationWriter
from django.forms import DateField, Textarea, TextInput, modelform_factory

from audit.encryption import DecryptionError
from audit.fields import DUMP_MARK, encrypted_fields
from tests.audit.sample import Sample

NAME = "Zoë O’Brien \U0001f600 مريم"
BORN = datetime.date(1980, 2, 29)
VALUES = {"name": NAME, "notes": "", "preferences": {"days": [1, 2]}, "born": BORN, "raw": b"\x00\xff"}


def stored(sample: Sample, column: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM sample_sample WHERE id = %s", [sample.pk])
        value = cursor.fetchone()[0]
    return bytes(value) if isinstance(value, memoryview) else value


def test_values_come_back_as_they_were(samples: type[Sample]) -> None:
    sample = samples.objects.create(**VALUES)

    assert samples.objects.values(*VALUES).get(pk=sample.pk) == VALUES


def test_the_database_holds_tokens_only(samples: type[Sample]) -> None:
    sample = samples.objects.create(**VALUES)

    assert str(stored(sample, "name")).startswith("gAAAA")
    assert str(stored(sample, "notes")).startswith("gAAAA")
    assert str(stored(sample, "preferences")).startswith("gAAAA")
    assert str(stored(sample, "born")).startswith("gAAAA")
    assert bytes(stored(sample, "raw")).startswith(b"gAAAA")  # type: ignore[call-overload]


def test_none_is_null(samples: type[Sample]) -> None:
    sample = samples.objects.create()

    assert [stored(sample, name) for name in VALUES] == [None] * 5
    assert samples.objects.filter(name__isnull=True, raw__isnull=True).count() == 1
    assert samples.objects.get(pk=sample.pk).born is None


def test_the_same_value_gives_another_token_each_time(samples: type[Sample]) -> None:
    first, second = (samples.objects.create(name="Ann") for _ in range(2))

    assert stored(first, "name") != stored(second, "name")


def test_update_bulk_create_and_bulk_update_encrypt(samples: type[Sample]) -> None:
    first, second = samples.objects.bulk_create([samples(name="a"), samples(name="b", born=BORN)])
    samples.objects.filter(pk=first.pk).update(name="c", preferences=[1], raw=b"x")
    second.name, second.raw, second.preferences, second.born = "d", b"y", {"k": 1}, datetime.date(2000, 1, 1)
    samples.objects.bulk_update([second], ["name", "raw", "preferences", "born"])

    assert list(samples.objects.order_by("pk").values_list("name", "raw", "preferences", "born")) == [
        ("c", b"x", [1], None),
        ("d", b"y", {"k": 1}, datetime.date(2000, 1, 1)),
    ]
    assert str(stored(second, "name")).startswith("gAAAA")


def test_an_added_key_reads_what_the_old_one_wrote(samples: type[Sample], settings: object) -> None:
    sample = samples.objects.create(**VALUES)
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *settings.FIELD_ENCRYPTION_KEYS]  # type: ignore[attr-defined]

    assert samples.objects.get(pk=sample.pk).name == NAME


def test_a_wrong_key_is_an_error_without_content(samples: type[Sample], settings: object) -> None:
    sample = samples.objects.create(name=NAME)
    token = str(stored(sample, "name"))
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]  # type: ignore[attr-defined]

    with pytest.raises(DecryptionError) as caught:
        samples.objects.get(pk=sample.pk)

    assert str(caught.value).startswith("sample.Sample.name: a stored value opens with none of")
    assert NAME not in str(caught.value)
    assert token not in str(caught.value)
    assert caught.value.__cause__ is None
    assert str(stored(sample, "name")) == token


def test_a_changed_token_is_an_error(samples: type[Sample]) -> None:
    sample = samples.objects.create(name="Ann")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sample_sample SET name = 'Ann' WHERE id = %s", [sample.pk])

    with pytest.raises(DecryptionError):
        samples.objects.get(pk=sample.pk)


@pytest.mark.parametrize("keys", [[], ["short"], ["not base64 but forty-four characters long !!"]])
def test_unusable_keys_stop_with_a_way_to_make_one(settings: object, samples: type[Sample], keys: list[str]) -> None:
    settings.FIELD_ENCRYPTION_KEYS = keys  # type: ignore[attr-defined]

    with pytest.raises(ImproperlyConfigured, match=r"Fernet\.generate_key"), transaction.atomic():
        samples.objects.create(name="Ann")

    assert samples.objects.count() == 0


@pytest.mark.parametrize(
    "condition",
    [
        {"name": "Ann"},
        {"name": None},
        {"name__icontains": "a"},
        {"name__in": ["Ann"]},
        {"born": BORN},
        {"born__year": 1980},
        {"born__gt": BORN},
        {"preferences": {}},
        {"preferences__days": 1},
        {"raw": b"x"},
    ],
    ids=str,
)
def test_searching_encrypted_content_is_refused(samples: type[Sample], condition: dict[str, object]) -> None:
    with pytest.raises(FieldError, match="is encrypted and"):
        samples.objects.filter(**condition).exists()


def test_migrations_can_write_the_fields() -> None:
    for field in encrypted_fields(Sample):
        _, path, args, kwargs = field.deconstruct()
        again = type(field)(*args, **kwargs)
        assert path == f"audit.fields.{type(field).__name__}"
        assert again.deconstruct()[1:] == (path, args, kwargs)
        assert f"audit.fields.{type(field).__name__}(" in MigrationWriter.serialize(field)[0]


def test_loaded_state_and_fields_can_be_copied(samples: type[Sample]) -> None:
    """Whole instances are pickled by their app's label, and the tests' model belongs to no installed app."""
    state = samples.objects.get(pk=samples.objects.create(**VALUES).pk).__getstate__()

    for again in (copy.deepcopy(state), pickle.loads(pickle.dumps(state))):
        assert {name: again[name] for name in VALUES} == VALUES
    for field in encrypted_fields(samples):
        assert copy.deepcopy(field).deconstruct() == field.deconstruct()


def test_forms_show_and_take_plain_values(samples: type[Sample]) -> None:
    sample = samples.objects.create(**VALUES)
    form_class = modelform_factory(samples, fields=["name", "notes", "born"])
    blank = form_class()
    unchanged = form_class(instance=sample, data={"name": NAME, "notes": "", "born": "1980-02-29"})
    changed = form_class(instance=sample, data={"name": NAME, "notes": "x", "born": "1980-03-01"})

    assert isinstance(blank.fields["name"].widget, TextInput)
    assert isinstance(blank.fields["notes"].widget, Textarea)
    assert isinstance(blank.fields["born"], DateField)
    assert 'value="1980-02-29"' in str(form_class(instance=sample)["born"])
    assert unchanged.changed_data == []
    assert changed.changed_data == ["notes", "born"]


def test_a_dump_holds_tokens_and_can_be_loaded(samples: type[Sample]) -> None:
    sample = samples.objects.create(**VALUES)
    from django.core.serializers import serialize

    dump = serialize("json", [sample])

    assert dump.count(DUMP_MARK) == 5
    # Whole values: two letters of a name may well stand in a token by chance.
    for secret in (NAME, json.dumps(NAME), "1980-02-29", '"days"'):
        assert secret not in dump
    for field in encrypted_fields(samples):
        assert field.to_python(field.value_to_string(sample)) == VALUES[field.name]


def test_a_token_typed_into_a_form_stays_text(samples: type[Sample]) -> None:
    token = Sample._meta.get_field("name").value_to_string(samples(name="secret"))
    field = Sample._meta.get_field("notes")

    assert field.clean(token, None) == token
