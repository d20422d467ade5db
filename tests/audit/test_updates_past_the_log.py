"""``queryset.update()`` sends no signal that django-auditlog could hear: what it changes is logged beside it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from auditlog.registry import auditlog
from django.conf import settings

LAYERS = ("audit", "scheduling", "waitlist", "integrations", "config")
#: By which workers share rows and know when to look again: they say nothing of a patient, an offer or a booking.
SHARING = frozenset(
    {
        "apply_due_at",
        "attempts",
        "attention_due_at",
        "check_due_at",
        "check_lease_until",
        "chase_at",
        "claim_serial",
        "due_at",
    }
    | {"lease_until", "last_seen_at", "sent_at", "times_seen"}
)
#: When an EHR was last asked, since when it fails, until when nobody asks it: each call is a record of its own.
HEALTH = frozenset(
    {"calendar_as_of", "capabilities", "checked_at", "cursor", "events_seen", "failing_since", "findings"}
    | {"history_due_at", "history_progress"}
    | {"coverage_due_at", "coverage_problem"}
    | {"last_error", "last_event_at", "rereads"}
    | {"last_heard_at", "last_poll_at", "last_success_at", "listens_since", "load_due_at", "loaded_at", "poll_due_at"}
    | {"patients_stale", "poll_lease_until", "reconcile_due_at"}
    | {"quiet_until"}
)
_EVENT = "an event's row is itself the record of what came in and what became of it"
_OFFERS = "it is counted from offers, whose every change is logged"
_THEIRS = "it repeats what the EHR said of its subscription"
_NO_RECORD = "the row is no record of the practice's"
#: Updates without an entry beside them, by the function they stand in, and why.
ELSEWHERE = {
    "integrations.ehr.event_leases.lease": _EVENT,
    "integrations.ehr.event_leases._set": _EVENT,
    "integrations.ehr.intake._hear_again": _EVENT,
    "integrations.ehr.event_stream._bring_back": _THEIRS,
    "integrations.ehr.event_stream.look_soon": _THEIRS,
    "integrations.ehr.event_stream.note": _THEIRS,
    "integrations.ehr.differences.store": "when it was last found says nothing new of it",
    "integrations.ehr.reconcile._run": "the row is itself the record of a comparison",
    "integrations.ehr.fhir.auth._ask_and_store": _NO_RECORD,
    "integrations.ehr.fhir.auth.forget_token": _NO_RECORD,
    "integrations.ehr.reading_lease.keep": "it renews a lease and says how far a load has come",
    "integrations.ehr.reading_lease.release": "it ends a lease and says how far a load came; its calls are records",
    "integrations.heartbeat.beat": _NO_RECORD,
    "integrations.messaging.after_errors._later": "a message that was never handed over waits on, and says why",
    "integrations.messaging.failures.stumbled": "a try of ours that failed; whatever the message comes to is logged",
    "scheduling.appointments.note_seen": "it follows from the appointment's status, which is logged",
    "scheduling.mirror.accept": "which version we hold is no record of the practice; what it says is logged",
    "scheduling.patient_writes.keep": "it renews a lease",
    "scheduling.writebacks._still_ours": "it renews a lease",
    "waitlist.entries.count_silence": _OFFERS,
    "waitlist.entries.heard_from": _OFFERS,
    "waitlist.importing.newcomers.take_back": "a row of a file is no record; that its patients are retired is logged",
    "waitlist.importing.working._renew": "it renews a lease and says how far a hop has come",
    "waitlist.offers._count": _OFFERS,
    "waitlist.offers._send_proposed": "why somebody was offered it is no record; the offer is logged",
    "waitlist.withdrawal.mark_late": "a late yes is logged when the offer ends by it, within a second or two",
}


def updates() -> Iterator[tuple[str, set[str | None], bool]]:
    """Every ``….update(name=…)``: the function it stands in, the names it sets, and whether that function logs."""
    for path in sorted(path for layer in LAYERS for path in (Path(settings.BASE_DIR) / layer).rglob("*.py")):
        module = ".".join(path.relative_to(settings.BASE_DIR).with_suffix("").parts)
        if {"migrations", "sandbox", "demo"} & set(path.parts):
            continue
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
            called = {getattr(call.func, "id", getattr(call.func, "attr", "")) for call in calls}
            for call in calls:
                if isinstance(call.func, ast.Attribute) and call.func.attr == "update" and call.keywords:
                    names = {keyword.arg for keyword in call.keywords}
                    yield f"{module}.{function.name}", names, bool(called & {"record_change", "record_changes"})


def test_every_update_of_a_logged_column_has_its_entry_beside_it() -> None:
    logged: set[str | None] = set()
    for model in auditlog.get_models():
        logged |= {field.name for field in model._meta.concrete_fields}
    logged -= SHARING | HEALTH
    found = list(updates())
    assert len(found) > 60
    assert [
        f"{place} sets {', '.join(sorted(map(str, names)))} past the log"
        for place, names, is_logged in found
        if not is_logged and place not in ELSEWHERE and (None in names or names & logged)
    ] == []
    assert set(ELSEWHERE) <= {place for place, _, is_logged in found if not is_logged}
