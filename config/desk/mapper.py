"""*Mapper*: what the EHR's codes mean here. Left what it sends, right ours; each change can be taken back."""

from __future__ import annotations

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from config.desk.connecting import fetch_connection
from config.desk.mapper_lines import BY_LOCATION, HOLDS, add_examples, lines_of, names_of
from config.desk.rights import require
from integrations import discovered, mapping, mapping_effects, mapping_mirror
from integrations.meanings import Domain, Key, Meanings
from integrations.models import CodeChange, CodeMapping, Connection
from scheduling.models import Location, Opening

VIEW, CHANGE = "integrations.view_codemapping", "integrations.change_codemapping"
KINDS = {
    Domain.TYPE: "Kinds of visit",
    Domain.REASON: "Cancellation reasons",
    Domain.STATUS: "Statuses",
    Domain.PROVIDER: "Clinicians",
    Domain.LOCATION: "Locations",
    Domain.LANGUAGE: "Languages",
    Domain.PLAN: "Insurance plans",
}
_CHOOSE = "Nothing was changed: choose from the list what the code means."


@require_safe
def mapper_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the codes of one kind, unmapped ones on top."""
    require(request, VIEW)
    row, waiting = fetch_connection(pk), discovered.unmapped(fetch_connection(pk))
    domain = _domain(request.GET.get("domain") or next((kind for kind in KINDS if waiting[kind]), Domain.TYPE))
    lines = lines_of(row, domain)
    add_examples(lines, domain, request.user)
    context = {
        **_frame(request, row, domain),
        "kinds": [(kind, title, waiting[kind]) for kind, title in KINDS.items()],
        "lines": lines,
        "within_reach": _within_reach(request, [pk for line in lines for pk in line.holds]),
        "unmapped": [line for line in lines if not line.is_mapped],
        "names": names_of(domain).items(),
        "holds": HOLDS.get(domain, ""),
        "by_location": domain in BY_LOCATION,
        "locations": Location.objects.filter(active=True) if domain in BY_LOCATION else (),
        "may_change": request.user.has_perm(CHANGE),
        "may_try": request.user.has_perm("integrations.view_inboundevent"),
        "is_applying": CodeMapping.objects.filter(connection=row, apply_due_at__isnull=False).exists(),
    }
    return TemplateResponse(request, "admin/desk/mapper.html", context)


@require_POST
def map_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Say what a code means, or that it means nothing any more; asked again where patients would hear of it."""
    require(request, CHANGE)
    row, domain = fetch_connection(pk), _domain(request.POST.get("domain", ""))
    system, code, target = (request.POST.get(name, "") for name in ("system", "code", "target"))
    key, place = Key(domain, system, code), request.POST.get("location", "")
    location = _location(place) if place and domain in BY_LOCATION else None
    is_known = not target or target in mapping.allowed_targets(domain)
    if not is_known or not key.can_be_kept:
        messages.error(request, _CHOOSE)
        return _back(row, domain)
    seen = request.POST.get("seen", "")
    if target and mapping.meant(row, key, location) == target:
        messages.info(
            request, f"Nothing was changed: “{code}”{_at(location)} already means: {names_of(domain)[target]}."
        )
        return _back(row, domain)
    if seen and seen != str(mapping.last_change(row, key)):
        messages.warning(
            request,
            f"Nothing was changed: somebody changed what “{code}” means since you looked. It is shown as it is now.",
        )
        return _back(row, domain)
    named = {"connection": row, "domain": domain, "system": system, "code": code, "location": location}
    code_row = CodeMapping.objects.filter(**named).first() or CodeMapping(**named)
    stake = mapping_effects.offers_at_stake(code_row, target)
    if stake and "sure" not in request.POST:
        values = {"system": system, "code": code, "target": target, "location": place, "seen": seen, "sure": "1"}
        context = {**_frame(request, row, domain), "values": values, "stake": stake, "code": code}
        context["time_then"] = time_then(code_row, target)
        return TemplateResponse(request, "admin/desk/mapper_sure.html", context)
    by = request.user.get_username()
    if target:
        display, to_open = (
            request.POST.get("display", "").replace("\x00", "")[:200],
            mapping_mirror.times_to_open(code_row, target),
        )
        mapping.map_code(row, domain, system, code, target, display=display, by=by, location=location)
        told = f"“{code}”{_at(location)} means: {names_of(domain)[target]}. You can undo it below."
        messages.success(request, told + _freed_before(to_open))
    elif mapping.unmap(row, domain, system, code, by=by, location=location):
        messages.success(request, f"“{code}” {_left(key, location)}. You can undo it below.")
    else:
        messages.error(request, _CHOOSE)
    return _back(row, domain)


@require_POST
def undo_view(request: HttpRequest, pk: int, change_id: int) -> HttpResponse:
    """Take the last change of a code back."""
    require(request, CHANGE)
    row = fetch_connection(pk)
    change = get_object_or_404(CodeChange.objects.select_related("mapping"), pk=change_id, mapping__connection=row)
    domain = _domain(change.mapping.domain)
    back = _back(row, domain)
    if request.POST.get("from") == "history":
        back = HttpResponseRedirect(reverse("admin:desk_mapping_file", args=[row.pk]) + "#changes")
    is_last = mapping.may_undo(change, list(change.mapping.changes.all()))
    stake = mapping_effects.offers_at_stake(change.mapping, change.before) if is_last else 0
    if stake and "sure" not in request.POST:
        context = {**_frame(request, row, domain), "change": change, "values": {"sure": "1"}, "stake": stake}
        context["from_history"] = request.POST.get("from") == "history"
        context["time_then"] = time_then(change.mapping, change.before)
        return TemplateResponse(request, "admin/desk/mapper_sure.html", {**context, "code": change.mapping.code})
    try:
        undone = mapping.undo(change, request.user.get_username())
    except ValueError as problem:
        messages.error(request, f"Nothing was changed. {problem}")
        return back
    if undone:
        messages.success(request, f"“{change.mapping.code}”: the last change was taken back.")
    elif CodeChange.objects.filter(undoes=change).exists():
        messages.info(request, "Nothing was changed: it was taken back already.")
    else:
        messages.warning(request, "Nothing was changed: somebody changed this code meanwhile. Look at it again.")
    return back


def _location(text: str) -> Location:
    if not text.isdecimal() or len(text) > 18:
        raise Http404
    return get_object_or_404(Location, pk=text)


def _at(location: Location | None) -> str:
    return f" at {location.name}" if location else ""


def _left(key: Key, location: Location | None) -> str:
    """Say what a code means once the practice no longer says it."""
    if location is not None:
        return f"means at {location.name} what it means everywhere"
    standard = mapping.standard_target(*key)
    if not standard:
        return "means nothing any more"
    return f"means what the standard says: {names_of(key.domain).get(standard, standard)}"


def time_then(row: CodeMapping, target: str) -> str:
    """Say what becomes of the time whose offers are withdrawn because ``row`` comes to mean ``target``."""
    if row.domain == Domain.PLAN:
        return "The time stays open for others on the list."
    key = Key(row.domain, row.system, row.code)
    means = Meanings.of(row.connection).changed(key, row.location_id, target).target(key, row.location_id)
    is_closed = means == CodeMapping.NOT_REBOOKABLE if row.domain == Domain.REASON else row.domain == Domain.STATUS
    return "The time is closed and not offered." if means and is_closed else "The time is kept for you to decide about."


def _freed_before(number: int) -> str:
    """Say what becomes of time that was given up before the code meant what it means now."""
    if not number:
        return ""
    times = (
        "One time that was given up for it before is" if number == 1 else f"{number} times given up for it before are"
    )
    return f" {times} opened now, and offered once the EHR shows that nobody has booked there."


def _within_reach(request: HttpRequest, opening_ids: list[int]) -> set[int]:
    """Return which openings the person may open."""
    if not request.user.has_perm("scheduling.view_opening"):
        return set()
    seen = Opening.objects.for_user(request.user).filter(pk__in=opening_ids)
    return set(seen.values_list("pk", flat=True))


def _domain(text: str) -> Domain:
    if text not in Domain.values:
        raise Http404
    return Domain(text)


def _frame(request: HttpRequest, row: Connection, domain: Domain) -> dict[str, object]:
    title = f"What the codes mean: {row.source.name}"
    return {**admin.site.each_context(request), "title": title, "subtitle": None, "row": row, "domain": domain}


def _back(row: Connection, domain: Domain) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:desk_mapper", args=[row.pk]) + f"?domain={domain.value}#codes")
