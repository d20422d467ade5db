import datetime
import threading

import pytest
from auditlog.models import LogEntry
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models import ProtectedError

from audit.context import Actor, acting_as, because, coming_from, correlated, service
from audit.log import MASK, mask, record_change, record_changes, register_model
from tests.audit.sample import Sample


def entries(sample: Sample) -> list[LogEntry]:
    return list(LogEntry.objects.filter(object_pk=str(sample.pk), content_type__model="sample").order_by("pk"))


def test_a_workers_change_carries_its_service_account(samples: type[Sample]) -> None:
    with service("worker: outbox"), correlated("c" * 32), because("retry"):
        sample = samples.objects.create(state="new")

    (entry,) = entries(sample)
    assert entry.actor is not None
    assert entry.actor.username == "service:worker: outbox"
    assert (entry.actor.is_active, entry.actor.has_usable_password()) == (False, False)
    assert entry.cid == "c" * 32
    assert entry.additional_data == {"actor": {"kind": "service", "name": "worker: outbox"}, "reason": "retry"}


def test_a_users_change_carries_user_and_address(samples: type[Sample]) -> None:
    user = get_user_model().objects.create(username="clerk")
    with acting_as(Actor.for_user(user)), coming_from("2001:db8::1"):
        sample = samples.objects.create()

    (entry,) = entries(sample)
    assert (entry.actor, entry.remote_addr) == (user, "2001:db8::1")


def test_a_patients_change_carries_the_id_only(samples: type[Sample]) -> None:
    with acting_as(Actor.for_patient(12)):
        sample = samples.objects.create()

    (entry,) = entries(sample)
    assert entry.actor is None
    assert entry.additional_data == {"actor": {"kind": "patient", "name": "patient 12"}}


def test_nesting_gives_each_change_its_own_actor(samples: type[Sample]) -> None:
    sample = samples.objects.create()
    with service("outer"):
        sample.state = "a"
        sample.save()
        with service("inner"):
            sample.state = "b"
            sample.save()
        sample.state = "c"
        sample.save()

    names = [entry.additional_data["actor"]["name"] for entry in entries(sample)]
    assert names == ["system", "outer", "inner", "outer"]


def test_threads_are_told_apart(committed_samples: type[Sample]) -> None:
    made: dict[str, Sample] = {}

    def work(name: str) -> None:
        with service(name):
            made[name] = committed_samples.objects.create()
        connection.close()

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    usernames = {name: entries(sample)[0].actor.username for name, sample in made.items()}
    assert usernames == {"one": "service:one", "two": "service:two"}


def test_an_account_rolled_back_is_made_again(committed_samples: type[Sample]) -> None:
    committed_samples.objects.create()
    with service("worker: new"):
        with transaction.atomic():
            committed_samples.objects.create()  # makes the account
            committed_samples.objects.create()  # finds it, and must not remember it
            transaction.set_rollback(True)
        sample = committed_samples.objects.create()

    assert entries(sample)[0].actor.username == "service:worker: new"


def test_encrypted_values_and_indexes_are_masked(samples: type[Sample]) -> None:
    sample = samples.objects.create(name="Ann Marker", name_index="f" * 64, born=datetime.date(1980, 1, 2))
    sample.name, sample.born, sample.preferences, sample.raw = "Eve Marker", None, {"m": "Marker"}, b"Marker"
    sample.state = "open"
    sample.save()

    created, updated = entries(sample)
    assert {name: created.changes[name] for name in ("name", "name_index", "born")} == {
        "name": [MASK, MASK],
        "name_index": [MASK, MASK],
        "born": [MASK, MASK],
    }
    assert updated.changes == {
        "name": [MASK, MASK],
        "born": [MASK, MASK],
        "preferences": [MASK, MASK],
        "state": ["new", "open"],
    }
    assert updated.object_repr == f"sample {sample.pk}"
    assert LogEntry.objects.filter(changes__icontains="Marker").count() == 0


def test_bytes_that_are_no_text_do_not_stop_a_save(samples: type[Sample]) -> None:
    sample = samples.objects.create(raw=b"\x00\xff", state="open")

    (entry,) = entries(sample)
    assert entry.changes["state"] == ["None", "open"]
    assert "raw" not in entry.changes


def test_the_mask_shows_nothing() -> None:
    assert {mask("Ann"), mask(""), mask("x" * 300)} == {"•••"}


def test_a_change_by_update_is_logged_beside_it(samples: type[Sample]) -> None:
    sample = samples.objects.create()
    with service("worker: claims"):
        samples.objects.filter(pk=sample.pk).update(state="claimed", name="Ann")
        record_change(sample, {"state": ("open", "claimed"), "name": ("Eve", "Ann")})

    entry = entries(sample)[-1]
    assert entry.changes == {"state": ["open", "claimed"], "name": [MASK, MASK]}
    assert (entry.action, entry.actor.username) == (LogEntry.Action.UPDATE, "service:worker: claims")
    assert entry.object_id == sample.pk


def test_many_changes_are_logged_in_one_statement(samples: type[Sample], django_assert_num_queries: object) -> None:
    made = samples.objects.bulk_create([samples() for _ in range(3)])
    record_change(made[0], {"state": ("a", "b")})

    with django_assert_num_queries(1):  # type: ignore[operator]
        record_changes((sample, {"state": ("b", "c")}) for sample in made)

    assert [len(entries(sample)) for sample in made] == [2, 1, 1]


def test_registering_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValueError, match="has no field 'nmae'"):
        register_model(Sample, mask_fields=["nmae"])


def test_a_user_in_the_log_is_not_deleted(samples: type[Sample]) -> None:
    user = get_user_model().objects.create(username="clerk")
    with acting_as(Actor.for_user(user)):
        samples.objects.create()

    with pytest.raises(ProtectedError, match="Clear 'Active'"), transaction.atomic():
        user.delete()

    assert get_user_model().objects.filter(username="clerk").exists()
