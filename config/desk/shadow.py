"""The shadow report: what would have happened, in numbers that lead to the times they count, and as a table."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib import admin
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from audit.log import record
from audit.models import AccessRecord
from config.desk.connecting import fetch_connection
from config.desk.rights import require
from config.desk.shadow_lines import BECAME, VERDICTS, Line, live_lines, past_lines
from integrations import discovered
from integrations.ehr.history import progress_of
from integrations.meanings import Key
from integrations.models import CodeMapping, Connection, InboundEvent
from scheduling.admin import viewing
from scheduling.admin.scope import fetch_or_404
from scheduling.counting import counted
from scheduling.models import PatientReview
from waitlist.models import PastCancellation, WaitlistEntry

VIEW = "scheduling.view_opening"
PER_PAGE = 25
#: Longer lists than this are folded: on a phone they would stand between the sum and the freed times.
FOLDED_ABOVE = 8
LIVE, PAST = "live", "past"
#: What a line is filtered by, and how it is compared with what stands in the address.
FILTERS: Final[dict[str, Callable[[Line], str]]] = {
    "clinician": lambda line: str(line.provider_id),
    "location": lambda line: str(line.location_id),
    "verdict": lambda line: line.verdict,
    "became": lambda line: line.became,
}


@dataclass(frozen=True, slots=True)
class Count:
    """A number, what it counts, and the query of the lines that it counts."""

    label: str
    number: int
    query: str


@dataclass(frozen=True, slots=True)
class ClinicianRow:
    """What would have happened to one clinician's freed times."""

    name: str
    lines: int
    refilled: int
    wasted: int
    saved: int
    query: str


@dataclass(frozen=True, slots=True)
class Report:
    """All lines of one run, those the filters leave, and the filters."""

    of: str
    everything: list[Line]
    lines: list[Line]
    chosen: dict[str, str]

    def query(self, **changes: str) -> str:
        """Return the address's query with these filters instead of those chosen; "" takes one away."""
        kept = {name: value for name, value in {**self.chosen, **changes}.items() if value}
        return "?" + urlencode({"of": self.of, **kept})


@require_safe
def report_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the report of a connection's live run or of its past."""
    require(request, VIEW)
    row = fetch_connection(pk)
    report = _report(request, row)
    page = Paginator(report.lines, PER_PAGE).get_page(request.GET.get("p"))
    context = {
        **admin.site.each_context(request),
        "title": f"Shadow: {row.source.name}",
        "subtitle": None,
        "row": row,
        "of": report.of,
        "report": report,
        "page": page,
        "sentence": sentence(report.lines),
        "counts": [*_counts(report, "verdict", VERDICTS), *_counts(report, "became", BECAME)],
        "clinicians": _clinicians(report),
        "folded_above": FOLDED_ABOVE,
        "locations": sorted({(line.location, str(line.location_id)) for line in report.everything}),
        "names": sorted({(line.provider, str(line.provider_id)) for line in report.everything}),
        "verdicts": _present(report, "verdict", VERDICTS),
        "becames": _present(report, "became", BECAME),
        "is_filtered": bool(report.chosen),
        "csv_query": report.query(),
        "newer": report.query() + f"&p={page.previous_page_number()}" if page.has_previous() else "",
        "older": report.query() + f"&p={page.next_page_number()}" if page.has_next() else "",
        "progress": progress_of(row),
        "unmapped": _unmapped(row),
        "unread": InboundEvent.objects.filter(
            connection=row, status__in=(InboundEvent.Status.QUARANTINED, InboundEvent.Status.DEAD)
        ).count(),
        "unmatched": PatientReview.objects.for_user(request.user).filter(state=PatientReview.State.OPEN).count(),
        "may_connect": request.user.has_perm("integrations.view_connection"),
    }
    return TemplateResponse(request, "admin/desk/shadow.html", context)


@require_safe
def csv_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the filtered lines as a file; on record."""
    require(request, VIEW)
    row = fetch_connection(pk)
    report = _report(request, row)
    written = StringIO()
    writer = csv.writer(written)
    writer.writerow(
        ("Start", "End", "Clinician", "Location", "Visit", "Hours before", "Would have happened", "Patients", "Became")
    )
    for line in report.lines:
        local = [timezone.localtime(at, line.zone).isoformat() for at in (line.start, line.end)]
        hours = round(line.notice / timedelta(hours=1), 1) if line.notice is not None else ""
        told = (line.verdict_words, line.offered, line.became_words)
        writer.writerow([_cell(each) for each in (*local, line.provider, line.location, line.kind, hours, *told)])
    record(AccessRecord.Action.EXPORT, subject=row, reason=f"shadow report, {len(report.lines)} lines")
    response = HttpResponse(written.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="shadow-{row.slug}-{report.of}.csv"'
    return response


@require_safe
def past_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Show who on today's waitlist a past cancellation's time would have suited."""
    require(request, "waitlist.view_waitlistentry")
    rows = PastCancellation.objects.select_related("provider", "location", "appointment_type", "source__connection")
    past: PastCancellation = fetch_or_404(rows, request.user, pk)
    entries = WaitlistEntry.objects.for_user(request.user).select_related("patient", "appointment_type")
    found = entries.in_bulk(past.entries)
    in_line = [found[key] for key in past.entries if key in found]
    viewing.record_listed(request.user, [entry.patient for entry in in_line])
    context = {
        **admin.site.each_context(request),
        "title": "Who would have been in line?",
        "subtitle": None,
        "past": past,
        "zone": past.location.zone if past.location else None,
        "in_line": in_line,
        "connection": past.source.connection,
    }
    return TemplateResponse(request, "admin/desk/shadow_past.html", context)


def sentence(lines: Sequence[Line]) -> str:
    """Return the report in a sentence or two."""
    refilled = sum(line.became == "refilled" for line in lines)
    wasted = [line for line in lines if line.became == "wasted"]
    saved = [line for line in wasted if line.verdict == PastCancellation.Verdict.OFFERED]
    told = [f"{counted(len(lines), 'freed time')}: {refilled} booked again by hand, {len(wasted)} went to waste."]
    if saved:
        each = sum(line.offered for line in saved) / len(saved)
        told.append(f"{len(saved)} of those {len(wasted)} would have been offered, on average to {each:.1f} patients.")
    elif wasted:
        told.append("None of those would have been offered to anybody.")
    ahead = [line for line in lines if line.became == "ahead"]
    if ahead:
        some = sum(line.verdict == PastCancellation.Verdict.OFFERED for line in ahead)
        told.append(f"Still to come: {len(ahead)}, of which {some} would have been offered.")
    return " ".join(told)


def _unmapped(row: Connection) -> list[tuple[CodeMapping, int]]:
    """Return the codes nobody mapped with how many carry each, as the mapper counts them, the most first."""
    waiting = list(discovered.waiting(row).order_by("pk"))
    counts = {domain: discovered.counts(row, domain) for domain in {each.domain for each in waiting}}
    both = [(each, counts[each.domain][Key(each.domain, each.system, each.code)]) for each in waiting]
    return sorted(both, key=lambda pair: -pair[1])


def _report(request: HttpRequest, row: Connection) -> Report:
    of = request.GET.get("of", "")
    if of not in (LIVE, PAST):
        of = PAST if row.source.shadow_since is None and row.history_progress else LIVE
    everything = live_lines(row.source, request.user) if of == LIVE else past_lines(row.source, request.user)
    chosen = {name: request.GET[name] for name in FILTERS if request.GET.get(name)}
    lines = [line for line in everything if all(FILTERS[name](line) == value for name, value in chosen.items())]
    return Report(of, everything, lines, chosen)


def _counts(report: Report, name: str, words: dict[str, tuple[str, str]]) -> list[Count]:
    values = [FILTERS[name](line) for line in report.lines]
    return [
        Count(label, values.count(code), report.query(**{name: code}))
        for code, (label, _) in words.items()
        if code in values
    ]


def _present(report: Report, name: str, words: dict[str, tuple[str, str]]) -> list[tuple[str, str]]:
    values = {FILTERS[name](line) for line in report.everything}
    return [(code, label) for code, (label, _) in words.items() if code in values]


def _clinicians(report: Report) -> list[ClinicianRow]:
    found = []
    for name, key in sorted({(line.provider, str(line.provider_id)) for line in report.lines}):
        own = [line for line in report.lines if str(line.provider_id) == key]
        wasted = [line for line in own if line.became == "wasted"]
        saved = sum(line.verdict == PastCancellation.Verdict.OFFERED for line in wasted)
        refilled = sum(line.became == "refilled" for line in own)
        found.append(ClinicianRow(name, len(own), refilled, len(wasted), saved, report.query(clinician=key)))
    return found


def _cell(value: Any) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    text = str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
