"""The mappings as a file: export it, import it after a look at what would change, undo what was changed."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from audit.log import record
from audit.models import AccessRecord
from config.desk.mapping_history import SHOWN, history
from config.desk.rights import require
from integrations import mapping_changes, mapping_file, mapping_state, mapping_words, yaml_nodes
from integrations.mapping_changes import Impossible, Overtaken, Stale
from integrations.models import Connection, MappingChange

VIEW, CHANGE = "integrations.view_codemapping", ("integrations.change_codemapping", "integrations.change_fieldmapping")

#: So much of the history is put on one page.
MOST_SHOWN = 3200


@require_safe
def page_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the way out and in, and what was changed so far."""
    require(request, VIEW)
    return _page(request, _connection(pk))


@require_safe
def export_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Hand the file over."""
    require(request, VIEW)
    row = _connection(pk)
    response = HttpResponse(mapping_file.write(row), content_type="application/yaml; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="mappings-{row.slug}.yaml"'
    record(AccessRecord.Action.EXPORT, subject=row, reason="mappings as a file")
    return response


@require_POST
def import_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what a file would change; nothing is changed yet."""
    _require_all(request)
    row = _connection(pk)
    uploaded = request.FILES.get("file")
    if uploaded is None:
        return _page(request, row, problems=[yaml_nodes.Problem(1, "No file was chosen. Choose the edited file.")])
    return _preview(request, row, uploaded.read(yaml_nodes.MOST_BYTES + 1))


@require_POST
def apply_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Apply the file that was looked at, all of it or nothing."""
    _require_all(request)
    row = _connection(pk)
    body = request.POST.get("body", "").encode()
    file = mapping_file.read(body, row)
    if file.problems:
        return _page(request, row, problems=file.problems)
    by = request.user.get_username()
    try:
        done = mapping_changes.change(
            row, file.wanted, by=by, how=MappingChange.How.IMPORT, seen=request.POST.get("seen") or "nothing"
        )
    except Stale:
        messages.warning(
            request,
            "Nothing was changed: somebody changed the mappings since you looked. Here are the differences as of now.",
        )
        return _preview(request, row, body)
    except Impossible as problem:
        return _page(request, row, problems=[yaml_nodes.Problem(1, str(problem))])
    if done is None:
        messages.info(request, "Nothing was changed: the mappings are already as in the file.")
    else:
        record(AccessRecord.Action.IMPORT, subject=row, reason="mappings from a file")
        messages.success(request, f"Imported: {_values(done)} changed. It can be undone below.")
    return _back(row)


@require_POST
def undo_view(request: HttpRequest, pk: int, change: int) -> HttpResponse:
    """Bring back what was before one change; asked again where patients would hear of it."""
    _require_all(request)
    row = _connection(pk)
    earlier = get_object_or_404(MappingChange, pk=change, connection=row)
    back = mapping_changes.backwards(earlier)
    is_open = not mapping_changes.changed_since(earlier, mapping_state.current(row))
    if is_open and "sure" not in request.POST and mapping_words.withdraws(row, back):
        context = {"title": f"What the undo changes at {row.source.name}", "change": earlier}
        lines = [(line, None) for line in mapping_words.lines(row, back)]
        return _shown(request, row, "admin/desk/mapping_import.html", {**context, "lines": lines})
    try:
        done = mapping_changes.undo(earlier, request.user.get_username())
    except Overtaken as later:
        what = "; ".join(mapping_words.what(key) for key in later.keys[:3])
        messages.error(
            request, f"Nothing was undone: some of it was changed again since ({what}). Undo the later change first."
        )
    except Impossible as problem:
        messages.error(request, f"Nothing was undone: {problem} Change it by hand.")
    else:
        if done is None:
            messages.info(request, "It was undone already; nothing was changed.")
        else:
            messages.success(request, f"Undone: {_values(done)} as before.")
    return _back(row)


def _preview(request: HttpRequest, row: Connection, body: bytes) -> HttpResponse:
    file = mapping_file.read(body, row)
    if file.problems:
        return _page(request, row, problems=file.problems)
    state = mapping_state.current(row)
    entries = mapping_changes.difference(state, file.wanted)
    found = mapping_words.lines(row, entries)
    numbered = [(line, file.lines.get(entry.key)) for line, entry in zip(found, entries, strict=True)]
    context = {
        "title": f"What the file changes at {row.source.name}",
        "lines": sorted(numbered, key=lambda each: (each[1] is None, each[1] or 0)),
        "body": body.decode("utf-8-sig"),
        "seen": mapping_state.fingerprint(state),
        "counts": ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(line.kind for line in found).items())),
    }
    return _shown(request, row, "admin/desk/mapping_import.html", context)


def _page(request: HttpRequest, row: Connection, *, problems: list[yaml_nodes.Problem] | None = None) -> HttpResponse:
    asked = request.GET.get("shown", "")
    shown = min(int(asked), MOST_SHOWN) if asked.isdecimal() and len(asked) < 6 else SHOWN
    changes = history(row, shown + 1)
    context = {
        "title": f"Mappings of {row.source.name} as a file",
        "problems": problems or [],
        "changes": changes[:shown],
        "older": shown * 4 if len(changes) > shown and shown < MOST_SHOWN else 0,
        "may_change_codes": request.user.has_perm(CHANGE[0]),
        "may_change": all(request.user.has_perm(right) for right in CHANGE),
    }
    return _shown(request, row, "admin/desk/mapping_file.html", context)


def _shown(request: HttpRequest, row: Connection, template: str, context: dict[str, Any]) -> TemplateResponse:
    frame = {**admin.site.each_context(request), "subtitle": None, "row": row}
    return TemplateResponse(request, template, {**frame, **context})


def _values(change: MappingChange) -> str:
    count = len(change.entries)
    return f"{count} value{'' if count == 1 else 's'}"


def _require_all(request: HttpRequest) -> None:
    for right in CHANGE:
        require(request, right)


def _connection(pk: int) -> Connection:
    return get_object_or_404(Connection.objects.select_related("source"), pk=pk)


def _back(row: Connection) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:desk_mapping_file", args=[row.pk]))
