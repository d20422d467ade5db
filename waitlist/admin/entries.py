"""The waitlist: who waits, for what, and the verbs that change it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from scheduling.admin import search, viewing
from scheduling.admin.base import ScopedAdmin, ScopedRelatedFilter
from scheduling.admin.display import state, when
from scheduling.admin.scope import fetch_or_404
from scheduling.models import Patient
from waitlist import entries, explain
from waitlist.admin.forms import EntryForm
from waitlist.admin.hours import write_week
from waitlist.models import WaitlistEntry

MOST_FOUND = 30


@admin.register(WaitlistEntry)
class WaitlistEntryAdmin(ScopedAdmin):
    """Adding and changing go through :mod:`waitlist.entries`, which keeps the line; nothing is saved past it."""

    patients_in = ("patient",)
    finds_patients = "patient"
    list_title = "Waitlist"
    empty_list_says = "Nobody is on the waitlist. Press “Add waitlist entry” to put somebody on it."
    list_display = (
        "patient_shown",
        "appointment_type",
        "urgency_shown",
        "status_shown",
        "wishes",
        "lost",
        "joined",
    )
    list_display_links = ("patient_shown",)
    list_filter = (
        "status",
        "urgency",
        "appointment_type",
        "providers",
        ("locations", ScopedRelatedFilter),
    )
    list_select_related = ("patient", "appointment_type", "move_up")
    ordering = ("urgency", "joined_at")
    actions = ("pause_selected", "resume_selected", "remove_selected")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).prefetch_related("providers", "locations", "windows")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.step_view)
        own = path("<path:object_id>/step/<slug:step>/", view, name="waitlist_waitlistentry_step")
        return [own, *super().get_urls()]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # An entry that was offered something is part of its story; it leaves the list instead.
        return False

    # --- adding and changing -----------------------------------------------------------------------------------------

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        self._refuse_foreign_choices(request)
        if not request.GET.get("patient"):
            return self._choose(request)
        patient: Patient = fetch_or_404(Patient.objects.all(), request.user, request.GET["patient"])

        def add(form: EntryForm) -> WaitlistEntry:
            values = form.values()
            return entries.add(patient, values.pop("appointment_type"), **values)

        return self._form(request, patient, None, add)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        entry: WaitlistEntry = self._row_or_404(request, object_id)
        if not self.has_view_or_change_permission(request, entry):
            raise PermissionDenied
        self._refuse_foreign_choices(request)
        return self._form(request, entry.patient, entry, lambda form: entries.change(entry, **form.values()))

    def _choose(self, request: HttpRequest) -> HttpResponse:
        """The first step of adding: whom. The search is posted and comes back sealed."""
        if request.method == "POST":
            sealed = search.seal(request.POST.get("query", ""))
            return HttpResponseRedirect(f"{request.path}?q={sealed}" if sealed else request.path)
        query = search.unseal(request.GET.get("q", ""))
        found = list(search.find(query, Patient.objects.for_user(request.user))[: MOST_FOUND + 1]) if query else []
        viewing.record_listed(request.user, found)
        context = {
            **self.admin_site.each_context(request),
            "title": "Who wants to wait?",
            "subtitle": None,
            "opts": self.opts,
            "query": query,
            "found": found[:MOST_FOUND],
            "has_more": len(found) > MOST_FOUND,
            "search_help": search.HELP,
        }
        return TemplateResponse(request, "admin/waitlist/waitlistentry/choose.html", context)

    def _form(
        self,
        request: HttpRequest,
        patient: Patient,
        entry: WaitlistEntry | None,
        save: Callable[[EntryForm], WaitlistEntry],
    ) -> HttpResponse:
        may_save = self.has_change_permission(request, entry) if entry else self.has_add_permission(request)
        form = EntryForm(
            request.POST if request.method == "POST" else None, user=request.user, patient=patient, entry=entry
        )
        if request.method == "POST":
            if not may_save:
                raise PermissionDenied
            if form.is_valid():
                try:
                    saved = save(form)
                except entries.EntryRefused as refusal:
                    form.add_error(None, str(refusal))
                else:
                    messages.success(request, "Saved. The line is up to date.")
                    return HttpResponseRedirect(reverse("admin:waitlist_waitlistentry_change", args=[saved.pk]))
        elif entry is not None:
            viewing.record_view([patient])
        context = {
            **self.admin_site.each_context(request),
            "title": "Waitlist entry" if entry else "New waitlist entry",
            "subtitle": None,
            "opts": self.opts,
            "media": self.media + form.media,
            "form": form,
            "patient": patient,
            "obstacle": explain.of_the_record(patient),
            "entry": entry,
            "may_save": may_save,
            "entry_steps": [(*step, _VERBS[step[0]][1]) for step in _steps_of(entry)] if entry and may_save else [],
        }
        return TemplateResponse(request, "admin/waitlist/waitlistentry/form.html", context)

    def step_view(self, request: HttpRequest, object_id: str, step: str) -> HttpResponse:
        """Pause, resume or remove one entry."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        entry: WaitlistEntry = self._row_or_404(request, object_id)
        if not self.has_change_permission(request, entry):
            raise PermissionDenied
        verb, _, done = _VERBS.get(step, (None, "", ""))
        if verb is not None and step in dict(_steps_of(entry)) and verb(entry):
            messages.success(request, done)
        else:
            messages.warning(request, f"Nothing changed: this entry is {entry.get_status_display()} now.")
        return HttpResponseRedirect(reverse("admin:waitlist_waitlistentry_change", args=[entry.pk]))

    # --- many at once -----------------------------------------------------------------------------------------------

    @admin.action(description="Pause: offer nothing for now", permissions=["change"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[WaitlistEntry]) -> None:
        self._each(request, queryset, "pause", "paused")

    @admin.action(description="Resume: wait again at the old place", permissions=["change"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[WaitlistEntry]) -> None:
        self._each(request, queryset, "resume", "waiting again")

    @admin.action(description="Remove from the list", permissions=["change"])
    def remove_selected(self, request: HttpRequest, queryset: QuerySet[WaitlistEntry]) -> None:
        self._each(request, queryset, "remove", "off the list")

    def _each(self, request: HttpRequest, queryset: QuerySet[WaitlistEntry], step: str, done: str) -> None:
        rows = list(queryset)
        changed = sum(step in dict(_steps_of(row)) and _VERBS[step][0](row) for row in rows)
        level = messages.SUCCESS if changed == len(rows) else messages.WARNING
        left = f" {len(rows) - changed} left as they were." if changed < len(rows) else ""
        self.message_user(request, f"{changed} {done}.{left}", level=level)

    # --- columns ------------------------------------------------------------------------------------------------------

    @admin.display(description="Patient")
    def patient_shown(self, row: WaitlistEntry) -> str:
        return row.patient.full_name or f"patient {row.patient_id} (no name)"

    @admin.display(description="Urgency", ordering="urgency")
    def urgency_shown(self, row: WaitlistEntry) -> str:
        tone = {0: "danger", 1: "wait"}.get(row.urgency, "stop")
        return state(str(row.urgency), row.get_urgency_display(), tone)

    @admin.display(description="State", ordering="status")
    def status_shown(self, row: WaitlistEntry) -> str:
        return state(row.status, row.get_status_display())

    @admin.display(description="Wants")
    def wishes(self, row: WaitlistEntry) -> str:
        who = ", ".join(each.name for each in row.providers.all())
        where = ", ".join(each.name for each in row.locations.all())
        parts = (who, where, write_week(row.windows.all()), "moves up" if row.move_up_id else "")
        return " · ".join(filter(None, parts)) or "anybody, anywhere, any time"

    @admin.display(description="Too late", ordering="lost_races")
    def lost(self, row: WaitlistEntry) -> str:
        return f"{row.lost_races} ×" if row.lost_races else "–"

    @admin.display(description="On the list", ordering="joined_at")
    def joined(self, row: WaitlistEntry) -> str:
        if row.origin == WaitlistEntry.Origin.STAFF:
            return when(row.joined_at)
        return format_html('{}<span class="under">from {}</span>', when(row.joined_at), row.get_origin_display())


def _steps_of(entry: WaitlistEntry) -> list[tuple[str, str]]:
    """Return the steps that make sense now, as slug and label."""
    live = entry.status in entries.LIVE
    steps = []
    if entry.status in (WaitlistEntry.Status.WAITING, WaitlistEntry.Status.ASKED):
        steps.append(("pause", "Pause: offer nothing for now"))
    if entry.status in (
        WaitlistEntry.Status.PAUSED,
        WaitlistEntry.Status.ASKED,
        WaitlistEntry.Status.BOOKED,
        WaitlistEntry.Status.EXPIRED,
    ):
        steps.append(("resume", "Resume: wait again at the old place"))
    return [*steps, ("remove", "Remove from the list")] if live else steps


#: Each step's verb, what it tells the person before the click, and what afterwards.
_VERBS: dict[str, tuple[Callable[[WaitlistEntry], bool], str, str]] = {
    "pause": (
        entries.pause,
        "Nothing is offered until you resume; the place in line stays.",
        "Paused: nothing is offered until you resume. An offer that is out is looked at again.",
    ),
    "resume": (
        entries.resume,
        "Times are offered again, at the old place in line.",
        "Waiting again, at the old place in line.",
    ),
    "remove": (
        entries.leave,
        "The patient is not told. Whoever wants to wait again is put on the list anew, at its end.",
        "Off the list. The patient is not told; an offer that is out is looked at again.",
    ),
}
