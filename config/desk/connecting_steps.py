"""What the buttons of *Connect* do, each with the right it takes."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import Http404, HttpRequest
from django.utils import timezone

from audit.log import record
from audit.models import AccessRecord
from integrations import switches
from integrations.ehr import checking, event_stream, history, load_requests, signing_keys
from integrations.ehr.gateway import GatewayError, LoginRefused
from integrations.models import Connection
from scheduling import going_live
from scheduling.counting import counted
from scheduling.models import Bookable, Provider
from waitlist import shadow

CHANGE, OPERATE = "integrations.change_connection", "integrations.operate_connection"


def _check(request: HttpRequest, row: Connection) -> None:
    found = checking.check(row)
    record(AccessRecord.Action.CALL, subject=row)
    trouble = [each for each in found if each.verdict in ("no", "partly")]
    if not trouble:
        messages.success(request, f"{row.source.name} lets us do all we need.")
    else:
        need = "needs" if len(trouble) == 1 else "need"
        messages.warning(request, f"{len(trouble)} of {len(found)} answers {need} your attention. Nothing was changed.")


def _is_stopped(request: HttpRequest, row: Connection) -> bool:
    """A connection whose login was refused is not called until a person starts it again: say so."""
    if row.state != Connection.State.STOPPED:
        return False
    messages.error(
        request,
        f"Nothing was done: {row.source.name} refused our login and is stopped. Mend the login (step 1), check it "
        "(step 2), then resume it on Sync status.",
    )
    return True


def _load(request: HttpRequest, row: Connection) -> None:
    if _is_stopped(request, row):
        return
    load_requests.ask(row)
    record(AccessRecord.Action.CALL, subject=row)
    messages.success(request, "The calendar is being loaded. You can leave this page; it goes on by itself.")


def _key(request: HttpRequest, row: Connection) -> None:
    now = timezone.now()
    if not signing_keys.published(row, now).exists():
        key = signing_keys.ensure(row, request.POST.get("algorithm", signing_keys.Algorithm.ES384), now)
        messages.success(request, f"The key {key.kid} is published. Give its address to the vendor.")
        return
    key = signing_keys.rotate(row, now=now)
    messages.success(
        request, f"The key {key.kid} is published now and signs from tomorrow. The vendor has nothing to do."
    )


def may_subscribe(row: Connection) -> bool:
    """A proprietary system knows no subscriptions of FHIR, and of others the last check may say that they take none."""
    refused = any(each.key == "events" and each.verdict == "no" for each in checking.found(row))
    is_asked = row.kind in Connection.Kind.values and not row.only_sends
    return is_asked and (not refused or row.events_by == Connection.EventsBy.PLATFORM)


def _subscribe(request: HttpRequest, row: Connection) -> None:
    if row.only_sends:
        messages.info(request, "Nothing was done: this EHR cannot be asked. Its interface engine sends by itself.")
        return
    if not may_subscribe(row):
        messages.info(request, "Nothing was done: this kind of EHR takes no subscriptions. It is polled.")
        return
    if not row.webhook_secrets:
        messages.error(
            request, "Nothing was done: the connection has no webhook secret yet. Enter one in its settings."
        )
        return
    try:
        event_stream.start(row)
    except GatewayError as error:
        todo = (
            " Ask the vendor for system/Subscription.write, and add it to the rights we ask for."
            if isinstance(error, LoginRefused) and error.status == 403
            else ""
        )
        messages.error(
            request,
            f"The EHR did not take the subscription: {checking.said(error)}{todo} Nothing is lost: it is polled every "
            f"{counted(row.poll_minutes, 'minute')}.",
        )
        return
    record(AccessRecord.Action.CALL, subject=row)
    messages.success(request, "The EHR notifies us of every change from now on.")


def _start(request: HttpRequest, row: Connection) -> None:
    if switches.resume(row):
        record(AccessRecord.Action.RESUME, subject=row)
        if row.only_sends:
            then = "its messages are dealt with as they come, those that waited first."
        elif row.loaded_at is None:
            then = "it is read once its calendar is loaded (step 3)."
        else:
            then = f"it is read now and every {counted(row.poll_minutes, 'minute')}."
        messages.success(request, f"{row.source.name} is active: {then}")
    else:
        messages.info(request, f"Nothing changed: {row.source.name} is {row.get_state_display()}.")


def _history(request: HttpRequest, row: Connection) -> None:
    if _is_stopped(request, row):
        return
    if not history.ask(row):
        messages.info(request, "Nothing changed: the last 90 days are being read already.")
        return
    record(AccessRecord.Action.CALL, subject=row)
    messages.success(request, "The last 90 days are being read. You can leave this page; it goes on by itself.")


def _shadow(request: HttpRequest, row: Connection) -> None:
    try:
        found = shadow.begin(row.source)
    except ValueError:
        messages.info(request, f"Nothing changed: {row.source.name} is in shadow already.")
        return
    if found is not None:
        messages.error(request, _still_under_way(row, found))
        return
    record(AccessRecord.Action.PAUSE, subject=row, reason="shadow")
    # Nothing can be computed of an EHR that is not read.
    if row.state == Connection.State.PAUSED and switches.resume(row):
        record(AccessRecord.Action.RESUME, subject=row)
    messages.success(
        request, f"{row.source.name} is in shadow: everything is computed from now on, nothing is sent or written."
    )
    if row.loaded_at is None:
        messages.warning(request, "Nothing is seen yet: load its calendar first (step 3).")
    elif row.state == Connection.State.STOPPED:
        messages.warning(request, "Nothing is seen yet: the EHR refused our login. Mend that first (step 1).")


def _still_under_way(row: Connection, found: shadow.UnderWay) -> str:
    counts = (
        (found.offers, "offers that patients hold"),
        (found.claims, "claims that wait for the EHR"),
        (found.writes, "changes for the EHR"),
        (found.messages, "messages to patients"),
    )
    told = "; ".join(f"{what}: {number}" for number, what in counts if number)
    return (
        f"Nothing changed: {row.source.name} is live, and this is still under way: {told}. A patient who says yes must "
        "get the time. Set the clinicians to off, let these end, then begin the shadow run."
    )


def _live(request: HttpRequest, row: Connection) -> None:
    if shadow.end(row.source):
        record(AccessRecord.Action.RESUME, subject=row, reason="shadow")
        messages.success(
            request, f"{row.source.name} is out of shadow: each clinician works in the mode shown below from now on."
        )
    else:
        messages.info(request, f"Nothing changed: {row.source.name} is not in shadow.")


def _mode(request: HttpRequest, row: Connection) -> None:
    known = {each.provider.pk: each.provider for each in going_live.readiness(row.source)}
    provider: Provider | None = known.get(_number(request.POST.get("provider", "")))
    mode = request.POST.get("mode", "")
    if provider is None or mode not in Bookable.Mode.values:
        raise Http404
    changed = going_live.set_mode(provider, mode)
    kinds = counted(changed, "kind of visit", "kinds of visit")
    messages.success(request, f"{provider.name}: {Bookable.Mode(mode).label}. {kinds} changed.")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


STEPS: dict[str, tuple[str, Callable[[HttpRequest, Connection], None]]] = {
    "check": (OPERATE, _check),
    "load": (OPERATE, _load),
    "key": (CHANGE, _key),
    "subscribe": (OPERATE, _subscribe),
    "start": (OPERATE, _start),
    "history": (OPERATE, _history),
    "shadow": (OPERATE, _shadow),
    "live": (OPERATE, _live),
    "mode": ("scheduling.change_bookable", _mode),
}
