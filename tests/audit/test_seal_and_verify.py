import datetime
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from auditlog.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from audit import append_only, seal
from audit.log import record
from audit.models import AccessRecord, Seal
from audit.seal import seal_committed
from audit.verify import Finding, Problem, verify

NOW = timezone.now()
MINUTE = datetime.timedelta(minutes=1)

pytestmark = pytest.mark.django_db


def add_access(*ids: int, at: datetime.datetime = NOW - MINUTE) -> None:
    AccessRecord.objects.bulk_create(
        AccessRecord(pk=pk, at=at, actor_kind="system", actor_name="system", action="view", detail={"n": pk})
        for pk in ids
    )


def add_change(*ids: int) -> None:
    for pk in ids:
        LogEntry.objects.create(
            pk=pk, content_type=ContentType.objects.get_for_model(Seal), object_pk="1", object_repr="row", action=1,
            changes={"state": ["a", "b"]}, timestamp=NOW - MINUTE, remote_addr="192.0.2.1",
        )  # fmt: skip


@contextmanager
def somebody_with_the_owners_password() -> Iterator[None]:
    """Drops the triggers, as only the owner of the tables can, and puts them back afterwards."""
    append_only.uninstall(connection)
    try:
        yield
    finally:
        append_only.install(connection)


def execute(statement: str) -> None:
    with somebody_with_the_owners_password(), connection.cursor() as cursor:
        cursor.execute(statement)


def findings(now: datetime.datetime = NOW, **options: dict[str, str]) -> list[Finding]:
    return [finding for report in verify(now, **options) for finding in report.findings]


def sealed_ids(stream: str = "access") -> list[tuple[int, bool, list[list[int]]]]:
    return list(Seal.objects.filter(stream=stream).order_by("number").values_list("number", "is_late", "id_ranges"))


def test_both_streams_are_sealed_and_agree() -> None:
    add_access(1, 2, 3)
    add_change(1, 2)

    made = seal_committed(NOW)

    assert [(one.stream, one.number, one.count, one.previous_digest) for one in made] == [
        ("access", 1, 3, ""),
        ("change", 1, 2, ""),
    ]
    assert [(report.stream, report.rows, report.seals, report.head) for report in verify(NOW)] == [
        ("access", 3, 1, made[0].digest),
        ("change", 2, 1, made[1].digest),
    ]
    assert findings() == []
    assert seal_committed(NOW) == []


def test_the_next_batch_names_the_one_before() -> None:
    add_access(1)
    seal_committed(NOW)
    add_access(2)
    seal_committed(NOW)

    first, second = Seal.objects.filter(stream="access").order_by("number")
    assert second.previous_digest == first.digest
    assert findings() == []


def test_rows_younger_than_the_margin_wait() -> None:
    add_access(1)
    add_access(2, at=NOW - datetime.timedelta(seconds=5))

    seal_committed(NOW)
    assert sealed_ids() == [(1, False, [[1, 1]])]
    seal_committed(NOW + MINUTE)
    assert sealed_ids() == [(1, False, [[1, 1]]), (2, False, [[2, 2]])]


def test_a_lower_id_committed_late_is_sealed_late() -> None:
    add_access(3, 5, 6, 9)
    seal_committed(NOW)
    add_access(2, 4, 8)
    add_access(10)

    seal_committed(NOW)
    assert sealed_ids() == [
        (1, False, [[3, 3], [5, 6], [9, 9]]),
        (2, True, [[2, 2], [4, 4], [8, 8]]),
        (3, False, [[10, 10]]),
    ]
    add_access(7)
    seal_committed(NOW + 4 * MINUTE)
    assert sealed_ids()[3:] == [(4, True, [[7, 7]])]
    assert seal_committed(NOW + 5 * MINUTE) == []
    assert findings(NOW + 60 * MINUTE) == []


def test_old_seals_are_not_sealed_again_when_the_window_moves_on() -> None:
    add_access(1, 3)
    seal_committed(NOW)
    add_access(2)
    seal_committed(NOW + MINUTE)
    add_access(5)
    seal_committed(NOW + seal.LATE_WINDOW)
    add_access(4)

    later = NOW + seal.LATE_WINDOW + MINUTE / 2
    assert [one.id_ranges for one in seal_committed(later)] == [[[4, 4]]]
    assert seal_committed(later) == []
    assert findings(later) == []


def test_large_backlogs_are_sealed_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "BATCH", 2)
    add_access(*range(1, 6))

    seal_committed(NOW)

    assert [ranges for _, _, ranges in sealed_ids()] == [[[1, 2]], [[3, 4]], [[5, 5]]]
    assert findings() == []


@pytest.mark.parametrize(
    ("statement", "stream", "problem", "identifier"),
    [
        ("UPDATE audit_accessrecord SET actor_name = 'other' WHERE id = 2", "access", Problem.ROW_CHANGED, 2),
        ("UPDATE audit_accessrecord SET detail = '{}' WHERE id = 1", "access", Problem.ROW_CHANGED, 1),
        ("DELETE FROM audit_accessrecord WHERE id = 3", "access", Problem.ROW_DELETED, 3),
        ("UPDATE auditlog_logentry SET changes = '{}' WHERE id = 1", "change", Problem.ROW_CHANGED, 1),
        ("UPDATE auditlog_logentry SET remote_addr = '192.0.2.9' WHERE id = 2", "change", Problem.ROW_CHANGED, 2),
        ("DELETE FROM auditlog_logentry WHERE id = 2", "change", Problem.ROW_DELETED, 2),
        ("UPDATE audit_seal SET sealed_at = '2020-01-01 00:00:00+00:00' WHERE stream = 'change'", "change",
         Problem.SEAL_CHANGED, 1),
        ("DELETE FROM audit_seal WHERE stream = 'access' AND number = 1", "access", Problem.SEAL_MISSING, 1),
    ],
)  # fmt: skip
def test_what_was_changed_past_the_triggers_is_found(
    statement: str, stream: str, problem: Problem, identifier: int
) -> None:
    add_access(1, 2, 3)
    add_change(1, 2)
    seal_committed(NOW)
    add_access(4)
    seal_committed(NOW)
    assert findings() == []

    execute(statement)

    assert findings() == [Finding(stream, problem, identifier)]


def test_a_replaced_seal_breaks_the_chain() -> None:
    add_access(1)
    add_access(2)
    seal_committed(NOW)
    add_access(3)
    seal_committed(NOW)
    row = Seal.objects.get(stream="access", number=2)

    execute("UPDATE audit_seal SET previous_digest = 'other' WHERE stream = 'access' AND number = 2")

    assert row.previous_digest != "other"
    assert findings() == [Finding("access", Problem.CHAIN_BROKEN, 2), Finding("access", Problem.SEAL_CHANGED, 2)]


def test_a_forged_chain_needs_the_key(settings: object) -> None:
    add_access(1)
    settings.BLIND_INDEX_KEY = "a guess"  # type: ignore[attr-defined]
    seal_committed(NOW)
    settings.BLIND_INDEX_KEY = "the real one"  # type: ignore[attr-defined]

    assert findings() == [Finding("access", Problem.SEAL_CHANGED, 1)]


def test_a_row_slipped_in_among_sealed_ones_is_found() -> None:
    add_access(1, 3)
    seal_committed(NOW)
    add_access(2, at=NOW - datetime.timedelta(days=2))

    assert findings() == [Finding("access", Problem.ROW_UNSEALED, 2)]


def test_a_sealer_that_stands_still_is_found() -> None:
    add_access(1)

    assert findings(NOW + 5 * MINUTE) == []
    assert findings(NOW + 10 * MINUTE) == [Finding("access", Problem.ROW_UNSEALED, 1)]


def test_a_cut_off_end_is_found_by_a_head_noted_earlier() -> None:
    add_access(1)
    seal_committed(NOW)
    add_access(2)
    (last,) = seal_committed(NOW)
    execute("DELETE FROM audit_seal WHERE number = 2")
    execute("DELETE FROM audit_accessrecord WHERE id = 2")

    assert findings() == []
    assert findings(heads={"access": last.digest}) == [Finding("access", Problem.HEAD_MISSING, 1)]


def test_a_second_sealer_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    add_access(1)
    row_digests = seal.row_digests
    rival: list[Seal] = []

    def rival_seals_first(*args: object) -> object:
        digests = list(row_digests(*args))  # type: ignore[arg-type]
        monkeypatch.undo()
        rival.extend(seal_committed(NOW))
        return digests

    monkeypatch.setattr(seal, "row_digests", rival_seals_first)

    assert seal_committed(NOW) == []
    assert [one.number for one in rival] == [1]
    assert sealed_ids() == [(1, False, [[1, 1]])]


def test_the_commands_outcome_is_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    add_access(1001, 1002)
    (made,) = seal_committed(NOW)
    call_command("verify_audit", "--head", f"access={made.digest}")
    assert capsys.readouterr().out == (
        f"access: 2 rows in 1 seals, head {made.digest}\n"
        "change: 0 rows in 0 seals, head -\n"
        "The audit trail agrees with its seals.\n"
    )

    execute("UPDATE audit_accessrecord SET reason = 'other' WHERE id = 1002")

    with pytest.raises(CommandError, match="1 findings"):
        call_command("verify_audit")
    assert "access 1002: row changed\n" in capsys.readouterr().out
    results = AccessRecord.objects.filter(action="verify").order_by("pk").values_list("actor_name", "result")
    assert list(results) == [("command: verify_audit", "done"), ("command: verify_audit", "failed")]


def test_a_malformed_head_is_refused() -> None:
    with pytest.raises(CommandError, match="STREAM=DIGEST"):
        call_command("verify_audit", "--head", "acess=1")


def test_a_seal_number_is_given_out_once() -> None:
    add_access(1)
    (made,) = seal_committed(NOW)
    made.pk = None
    made._state.adding = True

    with pytest.raises(IntegrityError):
        made.save()


def test_records_of_the_moment_are_sealed_within_a_minute() -> None:
    made = record(AccessRecord.Action.VIEW)

    seal_committed(made.at + datetime.timedelta(seconds=30))

    assert sealed_ids() == [(1, False, [[made.pk, made.pk]])]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one writing transaction at a time")
def test_a_transaction_that_commits_after_higher_ids_were_sealed_is_not_lost() -> None:
    has_written, may_commit = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with transaction.atomic():
            record(AccessRecord.Action.VIEW, reason="slow")
            has_written.set()
            assert may_commit.wait(timeout=30)
        connection.close()

    slow = threading.Thread(target=write_slowly)
    slow.start()
    assert has_written.wait(timeout=30)
    quick = record(AccessRecord.Action.VIEW, reason="quick")
    seal_committed(quick.at + MINUTE)
    may_commit.set()
    slow.join()
    late = AccessRecord.objects.get(reason="slow")
    assert late.pk < quick.pk

    seal_committed(quick.at + 2 * MINUTE)

    assert sealed_ids() == [(1, False, [[quick.pk, quick.pk]]), (2, True, [[late.pk, late.pk]])]
    assert findings(quick.at + 60 * MINUTE) == []
