import threading
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection

from audit import rotation
from audit.encryption import is_current
from audit.fields import encrypted_fields
from audit.models import AccessRecord
from audit.rotation import Rotation, rotate, rotate_all
from tests.audit.sample import Sample

NEW_KEY = Fernet.generate_key().decode()


def tokens() -> list[bytes]:
    found = []
    with connection.cursor() as cursor:
        for field in encrypted_fields(Sample):
            cursor.execute(f"SELECT {field.column} FROM sample_sample WHERE {field.column} IS NOT NULL ORDER BY id")
            found += [row[0].encode() if isinstance(row[0], str) else bytes(row[0]) for row in cursor.fetchall()]
    return found


def use_new_key(settings: Any) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [NEW_KEY, *settings.FIELD_ENCRYPTION_KEYS]


def test_all_values_move_and_stay_readable(samples: type[Sample], settings: Any) -> None:
    for number in range(5):
        samples.objects.create(name=f"name {number}", notes="", preferences=[number], raw=b"x")
    use_new_key(settings)

    assert rotate(samples, batch_size=2) == Rotation(moved=20)

    settings.FIELD_ENCRYPTION_KEYS = [NEW_KEY]
    assert list(samples.objects.order_by("pk").values_list("name", "notes", "preferences", "born", "raw")) == [
        (f"name {number}", "", [number], None, b"x") for number in range(5)
    ]


def test_a_repeated_run_passes_over_what_has_moved(samples: type[Sample], settings: Any) -> None:
    samples.objects.create(name="a")
    use_new_key(settings)
    rotate(samples)
    before = tokens()

    assert rotate(samples) == Rotation()
    assert tokens() == before


def test_an_interrupted_run_is_finished_by_the_next(
    samples: type[Sample], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        samples.objects.create(name=f"name {number}")
    use_new_key(settings)
    move = rotation._move
    calls: list[int] = []

    def move_once(*args: Any) -> Rotation:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return move(*args)

    monkeypatch.setattr(rotation, "_move", move_once)
    with pytest.raises(KeyboardInterrupt):
        rotate(samples, batch_size=2)
    assert [is_current(token) for token in tokens()] == [True, True, False, False]
    monkeypatch.undo()

    settings.FIELD_ENCRYPTION_KEYS = [NEW_KEY, *settings.FIELD_ENCRYPTION_KEYS[1:]]
    assert rotate(samples, batch_size=2) == Rotation(moved=2)
    assert all(is_current(token) for token in tokens())


def test_a_value_saved_between_reading_and_moving_is_kept(
    samples: type[Sample], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = samples.objects.create(name="old")
    old_keys = list(settings.FIELD_ENCRYPTION_KEYS)
    use_new_key(settings)
    reencrypt = rotation.reencrypt
    saves: list[Callable[[], Any]] = [lambda: samples.objects.filter(pk=sample.pk).update(name="saved meanwhile")]

    def rival_saves_first(token: bytes) -> bytes:
        if saves:
            # A process that has not been restarted yet writes under the old key.
            settings.FIELD_ENCRYPTION_KEYS = old_keys
            saves.pop()()
            settings.FIELD_ENCRYPTION_KEYS = [NEW_KEY, *old_keys]
        return reencrypt(token)

    monkeypatch.setattr(rotation, "reencrypt", rival_saves_first)
    assert rotate(samples) == Rotation(overtaken=1)
    assert samples.objects.get().name == "saved meanwhile"

    assert rotate_all([samples]) == {"sample.Sample": Rotation(moved=1)}
    assert samples.objects.get().name == "saved meanwhile"
    assert all(is_current(token) for token in tokens())


def test_rotation_under_traffic_loses_no_write(committed_samples: type[Sample], settings: Any) -> None:
    made = [committed_samples.objects.create(name="0", raw=b"0") for _ in range(20)]
    use_new_key(settings)
    started = threading.Event()
    errors: list[BaseException] = []

    def write() -> None:
        try:
            for number in range(1, 16):
                for sample in made[:5]:
                    committed_samples.objects.filter(pk=sample.pk).update(name=str(number), raw=str(number).encode())
                    committed_samples.objects.get(pk=sample.pk)
                started.set()
        except BaseException as error:
            errors.append(error)
        finally:
            started.set()
            connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    started.wait(timeout=30)
    rotate_all([committed_samples])
    writer.join()
    rotate_all([committed_samples])

    assert errors == []
    assert all(is_current(token) for token in tokens())
    settings.FIELD_ENCRYPTION_KEYS = [NEW_KEY]
    names = list(committed_samples.objects.order_by("pk").values_list("name", "raw"))
    assert names == [("15", b"15")] * 5 + [("0", b"0")] * 15


def test_values_under_a_lost_key_are_counted_and_left(samples: type[Sample], settings: Any) -> None:
    samples.objects.create(name="a")
    before = tokens()
    settings.FIELD_ENCRYPTION_KEYS = [NEW_KEY]

    assert rotate_all([samples]) == {"sample.Sample": Rotation(unreadable=1)}
    assert tokens() == before
    record = AccessRecord.objects.get(action="rotate")
    assert (record.subject_kind, record.detail) == ("sample.sample", {"moved": 0, "left": 0, "unreadable": 1})


@pytest.mark.django_db
def test_the_command_refuses_unknown_models() -> None:
    with pytest.raises(CommandError, match="Nothing was changed"):
        call_command("rotate_field_keys", "sample.Nothing")


def test_the_command_says_when_values_are_left(
    samples: type[Sample], settings: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rotation, "rotate_models", lambda: [samples])
    samples.objects.create(name="a")
    use_new_key(settings)

    call_command("rotate_field_keys")
    assert capsys.readouterr().out == (
        "sample.Sample: 1 moved, 0 left, 0 unreadable\nAll values are under the first key.\n"
    )

    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(CommandError, match="missing from FIELD_ENCRYPTION_KEYS"):
        call_command("rotate_field_keys")


def test_of_some_models_only_the_command_says_that_keys_must_stay(
    samples: type[Sample], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("rotate_field_keys", "scheduling.Opening")
    said = capsys.readouterr().out
    assert "Run it without names before you remove a key" in said
    assert "All values are under the first key." not in said
