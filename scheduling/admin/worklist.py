"""What needs a person: the list, who has taken what, and the buttons each kind comes with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from django.apps import apps
from django.contrib import admin, messages
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html_join

from scheduling import worklist
from scheduling.admin.base import ReadOnlyAdmin, ScopedRelatedFilter
from scheduling.admin.display import link, opening_link, patient_name, state, when
from scheduling.admin.scope import fetch_or_404
from scheduling.models import CancellationNote, ContactPoint, Opening, Patient, WorkItem


class OwnerFilter(admin.SimpleListFilter):
    title = "who has it"
    parameter_name = "whose"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [("mine", "I do"), ("nobody", "nobody yet")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[WorkItem]) -> QuerySet[WorkItem]:
        if self.value() == "mine":
            return queryset.filter(owner_id=request.user.pk)
        if self.value() == "nobody":
            return queryset.filter(owner__isnull=True)
        return queryset


@admin.register(WorkItem)
class WorkItemAdmin(ReadOnlyAdmin):
    """``take``, ``let_go``, ``do`` and ``finish`` are POSTs from the item's page; all rules are the worklist's."""

    patients_in = ("patient",)
    list_title = "Needs you"
    empty_list_says = "Nothing has needed a person yet. What the machine cannot decide comes here."
    list_display = ("title", "urgency_shown", "due", "patient_shown", "opening_shown", "owner_shown")
    list_filter = ("status", OwnerFilter, "urgency", ("location", ScopedRelatedFilter))
    list_select_related = ("patient", "owner", "opening__provider", "opening__location", "location")
    ordering = ("status", "urgency", F("due_at").asc(nulls_last=True), "pk")
    search_fields = ("title", "=kind")
    search_help_text = "A word of the title."
    actions = ("take_selected",)
    change_form_template = "admin/scheduling/workitem/change_form.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "status_shown",
                    "urgency_shown",
                    "due",
                    "patient_shown",
                    "phones",
                    "opening_shown",
                    "words",
                    "subject_shown",
                    "location",
                    "owner_shown",
                )
            },
        ),
        ("When", {"fields": ("created", "seen", "done", "done_by", "resolution")}),
    )
    readonly_fields = (
        "status_shown",
        "urgency_shown",
        "due",
        "patient_shown",
        "phones",
        "opening_shown",
        "words",
        "subject_shown",
        "owner_shown",
        "created",
        "seen",
        "done",
    )

    def get_urls(self) -> list[URLPattern]:
        steps: dict[str, Callable[..., HttpResponse]] = {
            "take": self.take_view,
            "let-go": self.let_go_view,
            "finish": self.finish_view,
        }
        own = [
            path(f"<path:object_id>/{step}/", self.admin_site.admin_view(view), name=f"scheduling_workitem_{name}")
            for step, view in steps.items()
            for name in (step.replace("-", "_"),)
        ]
        do = path(
            "<path:object_id>/do/<slug:slug>/", self.admin_site.admin_view(self.do_view), name="scheduling_workitem_do"
        )
        return [*own, do, *super().get_urls()]

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> WorkItem | None:
        """Return the item with the number of times that is shown."""
        item: WorkItem | None = super().get_object(request, object_id, from_field)
        return worklist.with_times([item])[0] if item is not None else None

    def get_fieldsets(self, request: HttpRequest, obj: WorkItem | None = None) -> Any:
        """Show only what the item has: a row of dashes tells nobody anything."""
        shown = super().get_fieldsets(request, obj)
        if obj is None:
            return shown
        empty = {
            "due": obj.due_at is None,
            "patient_shown": obj.patient_id is None,
            "phones": obj.patient_id is None,
            "opening_shown": obj.opening_id is None,
            "words": _note_of(obj) is None,
            "subject_shown": not _is_about_something_else(obj) or not _may_look(request, obj),
            "location": obj.location_id is None,
            **dict.fromkeys(("done", "done_by", "resolution"), obj.status == WorkItem.Status.OPEN),
        }
        return [
            (title, {**options, "fields": [name for name in options["fields"] if not empty.get(str(name))]})
            for title, options in shown
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        item = fetch_or_404(self.get_queryset(request), request.user, object_id)
        is_open = item.status == WorkItem.Status.OPEN
        more = {
            "item": item,
            "item_actions": worklist.actions_for(item) if is_open else [],
            "scripts": worklist.scripts_for(item) if is_open else [],
            "numbers": worklist.numbers_for(item),
            "is_over": item.due_at is not None and item.due_at <= timezone.now(),
            "is_open": is_open,
            "may_work": self._may_work(request),
            "is_mine": item.owner_id == request.user.pk,
            "title": item.title,
            "subtitle": None,
        }
        return super().change_view(request, object_id, form_url, {**more, **(extra_context or {})})

    def patients_of(self, row: WorkItem) -> Iterable[Patient | None]:
        """Whose words are shown was looked at, too."""
        note = _note_of(row)
        return [*super().patients_of(row), *([note.appointment.patient] if note else [])]

    def _may_work(self, request: HttpRequest) -> bool:
        return request.user.has_perm("scheduling.change_workitem")

    def _posted(self, request: HttpRequest, object_id: str) -> WorkItem | HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        item: WorkItem = fetch_or_404(self.get_queryset(request), request.user, object_id)
        if not self._may_work(request):
            raise PermissionDenied
        return item

    def take_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Give the item to the person at the screen."""
        item = self._posted(request, object_id)
        if isinstance(item, HttpResponse):
            return item
        if worklist.take(item, cast(AbstractBaseUser, request.user)):
            messages.success(request, "This is yours now.")
        else:
            messages.warning(request, "Nothing changed: it is finished already, or another person has it.")
        return _back_to(item)

    def let_go_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Put the item back for others."""
        item = self._posted(request, object_id)
        if isinstance(item, HttpResponse):
            return item
        if worklist.let_go(item, cast(AbstractBaseUser, request.user)):
            messages.success(request, "It is nobody's again.")
        return _back_to(item)

    def finish_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Close the item with the person's own words."""
        item = self._posted(request, object_id)
        if isinstance(item, HttpResponse):
            return item
        note = request.POST.get("note", "").strip()
        if not note:
            messages.error(request, "Nothing changed: write in a few words what you did, without the patient's name.")
            return _back_to(item)
        if item.status == WorkItem.Status.OPEN and worklist.finish(item, request.user.get_username(), note):
            messages.success(request, "Finished.")
            return HttpResponseRedirect(reverse("admin:scheduling_workitem_changelist") + "?status__exact=open")
        messages.warning(request, "Nothing changed: somebody else finished it.")
        return _back_to(item)

    def do_view(self, request: HttpRequest, object_id: str, slug: str) -> HttpResponse:
        """Press one of the item's buttons."""
        item = self._posted(request, object_id)
        if isinstance(item, HttpResponse):
            return item
        if item.status != WorkItem.Status.OPEN:
            messages.warning(request, "Nothing changed: somebody else finished it.")
            return _back_to(item)
        try:
            said = worklist.run_action(item, slug, cast(AbstractBaseUser, request.user))
        except worklist.NoSuchButton:
            messages.error(request, "Nothing changed: this item has no such button any more.")
            return _back_to(item)
        tell = messages.warning if isinstance(said, worklist.NotYet) else messages.success
        tell(request, said)
        return _back_to(item)

    @admin.action(description="Take: these are mine now", permissions=["take"])
    def take_selected(self, request: HttpRequest, queryset: QuerySet[WorkItem]) -> None:
        taken = sum(worklist.take(item, cast(AbstractBaseUser, request.user)) for item in queryset)
        are = "is" if taken == 1 else "are"
        self.message_user(request, f"{taken} of {queryset.count()} {are} yours now.")

    def has_take_permission(self, request: HttpRequest) -> bool:
        """Whether the person works on items at all."""
        return self._may_work(request)

    @admin.display(description="How soon", ordering="urgency")
    def urgency_shown(self, row: WorkItem) -> str:
        if row.status == WorkItem.Status.DONE:
            return self.status_shown(row)
        tone = {WorkItem.Urgency.RED: "danger", WorkItem.Urgency.SOON: "wait"}.get(
            WorkItem.Urgency(row.urgency), "stop"
        )
        return state(str(row.urgency), row.get_urgency_display(), tone)

    @admin.display(description="State", ordering="status")
    def status_shown(self, row: WorkItem) -> str:
        tone = "danger" if row.status == WorkItem.Status.OPEN else "ok"
        return state(row.status, row.get_status_display(), tone)

    @admin.display(description="By when", ordering="due_at")
    def due(self, row: WorkItem) -> str:
        return when(row.due_at, row.location.zone if row.location else None)

    @admin.display(description="Patient")
    def patient_shown(self, row: WorkItem) -> str:
        return patient_name(row.patient) if row.patient_id else "–"

    @admin.display(description="Opening")
    def opening_shown(self, row: WorkItem) -> str:
        return opening_link(row.opening)

    @admin.display(description="The EHR says")
    def words(self, row: WorkItem) -> str:
        note = _note_of(row)
        return note.text if note else "–"

    @admin.display(description="Phone")
    def phones(self, row: WorkItem) -> str:
        if row.patient is None or row.patient.restricted:
            return "restricted: no calls" if row.patient else "–"
        numbers = [(each.value, each.value, _whose(each)) for each in worklist.numbers_for(row)]
        return format_html_join(", ", '<a href="tel:{}">{}</a>{}', numbers) or worklist.without_number(row)

    @admin.display(description="Who has it", ordering="owner")
    def owner_shown(self, row: WorkItem) -> str:
        return row.owner.get_username() if row.owner else "nobody yet"

    @admin.display(description="About")
    def subject_shown(self, row: WorkItem) -> str:
        app, _, model = row.subject_kind.partition(".")
        if not row.subject_id:
            return "–"
        name = f"{apps.get_model(app, model)._meta.verbose_name} {row.subject_id}"
        try:
            return link(name, f"{app}_{model}_change", row.subject_id)
        except NoReverseMatch:
            return name

    @admin.display(description="Times seen", ordering="times_seen")
    def seen(self, row: WorkItem) -> str:
        return "once" if row.times_seen == 1 else f"{row.times_seen} ×"

    @admin.display(description="Since", ordering="created_at")
    def created(self, row: WorkItem) -> str:
        return when(row.created_at)

    @admin.display(description="Finished", ordering="done_at")
    def done(self, row: WorkItem) -> str:
        return when(row.done_at)


def _whose(number: ContactPoint) -> str:
    notes = ["guardian"] * number.guardian + ["used before"] * (number.use == "old")
    return f" ({', '.join(notes)})" if notes else ""


def _note_of(item: WorkItem) -> CancellationNote | None:
    """Return what the EHR says in words of why the item's time was freed."""
    if item.kind != "opening.reason" or item.opening is None or item.opening.freed_by_id is None:
        return None
    notes = CancellationNote.objects.select_related("appointment__patient")
    return notes.filter(appointment_id=item.opening.freed_by_id).first()


def _may_look(request: HttpRequest, item: WorkItem) -> bool:
    app, _, model = item.subject_kind.partition(".")
    return request.user.has_perm(f"{app}.view_{model}")


def _is_about_something_else(item: WorkItem) -> bool:
    """Whether the item's subject is named by no other row of its page."""
    named = {Opening._meta.label_lower: item.opening_id, Patient._meta.label_lower: item.patient_id}
    return item.subject_id is not None and named.get(item.subject_kind) != item.subject_id


def _back_to(item: WorkItem) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:scheduling_workitem_change", args=[item.pk]))
