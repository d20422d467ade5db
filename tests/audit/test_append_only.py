import pytest
from auditlog.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from audit import append_only
from audit.context import SYSTEM
from audit.log import record
from audit.models import AccessRecord, AppendOnlyError, Seal


def add_rows() -> None:
    record(AccessRecord.Action.VIEW, reason="before")
    LogEntry.objects.create(
        content_type=ContentType.objects.get_for_model(Seal), object_pk="1", object_repr="seal", action=0, changes={}
    )
    Seal.objects.create(
        stream="access", number=1, first_id=1, last_id=1, count=1, id_ranges=[[1, 1]], columns=["id"],
        row_digests=b"x", digest="d", sealed_at=timezone.now(),
    )  # fmt: skip


def contents() -> list[list[dict[str, object]]]:
    return [list(model.objects.order_by("pk").values()) for model in (AccessRecord, LogEntry, Seal)]


STATEMENTS = [
    "UPDATE audit_accessrecord SET reason = 'after'",
    "UPDATE audit_accessrecord SET reason = reason",
    "DELETE FROM audit_accessrecord",
    "UPDATE auditlog_logentry SET object_repr = 'after'",
    "UPDATE auditlog_logentry SET actor_id = NULL",
    "DELETE FROM auditlog_logentry",
    "UPDATE audit_seal SET digest = 'after'",
    "DELETE FROM audit_seal",
]


@pytest.mark.django_db
@pytest.mark.parametrize("statement", STATEMENTS)
def test_the_database_refuses_to_change_audit_rows(statement: str) -> None:
    add_rows()
    before = contents()

    refused = pytest.raises(IntegrityError, match="audit rows cannot be changed or deleted")
    with refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)

    assert contents() == before
    assert [len(rows) for rows in before] == [1, 1, 1]


@pytest.mark.django_db
def test_the_models_refuse_it_in_words() -> None:
    row = record(AccessRecord.Action.VIEW)

    for attempt in (
        row.save,
        row.delete,
        AccessRecord.objects.all().delete,
        lambda: AccessRecord.objects.update(reason="after"),
        lambda: AccessRecord.objects.bulk_update([row], ["reason"]),
    ):
        with pytest.raises(AppendOnlyError, match="Nothing was changed"):
            attempt()

    assert AccessRecord.objects.get().reason == ""
    assert AccessRecord.objects.get().actor_name == SYSTEM.name


@pytest.mark.django_db
def test_going_back_drops_the_triggers_and_migrating_puts_them_back() -> None:
    append_only.uninstall(connection)
    assert len(append_only.install(connection)) == 6
    assert append_only.install(connection) == []


@pytest.mark.django_db(transaction=True)
def test_flushing_between_tests_leaves_the_triggers_standing() -> None:
    add_rows()

    call_command("flush", verbosity=0, interactive=False)

    assert contents() == [[], [], []]
    add_rows()
    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_accessrecord")


@pytest.mark.django_db(transaction=True)
def test_a_rebuilt_table_gets_its_triggers_back_with_the_next_migrate() -> None:
    """As when a migration rebuilds the table on SQLite, which drops the triggers on it."""
    on_table = " ON audit_accessrecord" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER append_only_audit_accessrecord_delete{on_table}")
    record(AccessRecord.Action.VIEW)

    call_command("migrate", "audit", verbosity=0)

    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_accessrecord")
    assert AccessRecord.objects.count() == 1
