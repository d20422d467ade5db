"""*Import a spreadsheet*: from a file to the waitlist in pages, each of which says what happens next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from audit.log import record
from audit.models import AccessRecord
from scheduling.admin import viewing
from scheduling.admin.base import ScopedAdmin
from scheduling.admin.display import state, when
from waitlist.admin import import_rows, import_steps
from waitlist.admin.import_forms import ColumnsForm, ReturnedForm, UploadForm
from waitlist.importing import adding, batches, error_file, reading, returned
from waitlist.importing.limits import Unreadable
from waitlist.models import ImportBatch, ImportRow

_S, _V = ImportBatch.Status, ImportRow.Verdict
_TONES = {_S.COLUMNS: "wait", _S.CHECKING: "wait", _S.PREVIEW: "wait", _S.ADDING: "wait", _S.ADDED: "ok"}


@admin.register(ImportBatch)
class ImportBatchAdmin(ScopedAdmin):
    """Everything is done by :mod:`waitlist.importing.batches`; the pages only ask and show."""

    list_title = "Imported lists"
    empty_list_says = "No spreadsheet was imported yet. Press “Add imported list” to bring in the practice’s own."
    list_display = ("number", "status_shown", "location", "row_count", "added_count", "consent_shown", "by", "uploaded")
    list_display_links = ("number",)
    list_filter = ("status",)
    list_select_related = ("location", "uploaded_by")
    ordering = ("-pk",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        def own(route: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
            return path(route, self.admin_site.admin_view(view), name=f"waitlist_importbatch_{name}")

        return [
            own("<path:object_id>/columns/", self.columns_view, "columns"),
            own("<path:object_id>/live/", self.live_view, "live"),
            own("<path:object_id>/errors.csv", self.errors_view, "errors"),
            own("<path:object_id>/corrected/", self.corrected_view, "corrected"),
            own("<path:object_id>/do/<slug:step>/", self.step_view, "step"),
            *super().get_urls(),
        ]

    # --- pages --------------------------------------------------------------------------------------------------------

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        self._refuse_foreign_choices(request)
        is_post = request.method == "POST"
        sent = (request.POST, request.FILES) if is_post else ()
        form = UploadForm(*sent, user=request.user)
        if is_post and form.is_valid():
            data = form.cleaned_data
            try:
                content = data["file"].read()
                table = reading.read(content)
                if table.returns_to is not None:
                    return self._take_in(request, self._returned_to(request, table.returns_to), table)
                batch = batches.upload(
                    content,
                    data["file"].name or "",
                    cast(User, request.user),
                    data["location"],
                    data["appointment_type"],
                    table=table,
                )
            except Unreadable as problem:
                form.add_error("file", str(problem))
            else:
                return self._to(batch, "columns")
        return self._page(request, "upload", {"title": "Import a spreadsheet", "form": form})

    def columns_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask what the columns mean and where consent came from."""
        batch = self._batch(request, object_id)
        if batch.status not in (_S.COLUMNS, _S.PREVIEW):
            return self._to(batch)
        form = ColumnsForm(request.POST if request.method == "POST" else None, batch=batch)
        if request.method == "POST" and form.is_valid():
            if not batches.confirm_columns(batch, form.values()):
                messages.warning(request, "Nothing changed: somebody else is working on this list.")
            return self._to(batch)
        record(AccessRecord.Action.VIEW, subject=batch)
        return self._page(request, "columns", {"title": "What the columns mean", "form": form, "batch": batch})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        batch = self._batch(request, object_id, change=False)
        if batch.status == _S.COLUMNS and self.has_change_permission(request, batch):
            return self._to(batch, "columns")
        shown = import_rows.shown(batch, request.user, request.GET.get("show", ""), request.GET.get("page", "1"))
        record(AccessRecord.Action.VIEW, subject=batch)
        viewing.record_listed(request.user, shown.patients)
        context = {
            "title": f"Imported list {batch.pk}",
            "shown": shown,
            "may_change": batch.status in batches.EDITABLE and self.has_change_permission(request, batch),
            "statement": adding.consent_of(batch) if batch.consent else "",
            "returned": ReturnedForm(),
            "tone": _TONES.get(_S(batch.status), "stop"),
            **self._progress(batch),
        }
        return self._page(request, "preview", context)

    def live_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The part of the page that shows how far a worker has come."""
        batch = self._batch(request, object_id, change=False)
        return TemplateResponse(request, "admin/waitlist/importbatch/live.html", self._progress(batch))

    def errors_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Give the rows with errors as a file."""
        batch = self._batch(request, object_id)
        record(AccessRecord.Action.EXPORT, subject=batch, location_id=batch.location_id)
        response = HttpResponse("\ufeff" + error_file.write(batch), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="list-{batch.pk}-errors.csv"'
        response["Cache-Control"] = "no-store"
        return response

    def corrected_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Take the downloaded rows back, as they were corrected in a spreadsheet program."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        batch = self._batch(request, object_id)
        form = ReturnedForm(request.POST, request.FILES)
        problem = "" if form.is_valid() else " ".join(map(str, form.errors["file"]))
        try:
            table = None if problem else reading.read(form.cleaned_data["file"].read())
            if table is not None and table.returns_to == batch.pk:
                return self._take_in(request, batch, table)
        except Unreadable as unreadable:
            problem = str(unreadable)
        messages.error(request, problem or import_steps.OTHER_FILE)
        return self._to(batch, query=f"?show={_V.ERROR}")

    def step_view(self, request: HttpRequest, object_id: str, step: str) -> HttpResponse:
        """Take one step, say what came of it, and show the list again."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        batch = self._batch(request, object_id)
        if step not in import_steps.STEPS:
            raise Http404
        import_steps.STEPS[step](request, batch)
        show = request.POST.get("show", "")
        page = "columns" if batch.status == _S.COLUMNS else "change"
        return self._to(batch, page, query=f"?show={show}" if show in _V.values else "")

    # --- parts of them ------------------------------------------------------------------------------------------------

    def _batch(self, request: HttpRequest, object_id: str, *, change: bool = True) -> ImportBatch:
        batch: ImportBatch = self._row_or_404(request, object_id)
        if not (self.has_change_permission if change else self.has_view_or_change_permission)(request, batch):
            raise PermissionDenied
        return batch

    def _returned_to(self, request: HttpRequest, number: int) -> ImportBatch:
        """Return the list that a file of errors is of; raises Unreadable when it cannot go back there."""
        batch: ImportBatch | None = self.get_queryset(request).filter(pk=number).first()
        if batch is None or not self.has_change_permission(request, batch) or not batch.rows.exists():
            raise Unreadable(
                f"These are rows with errors of list {number}, which is deleted or not yours to change. Nothing was "
                "stored. To bring them in as a new list, delete the last two columns and upload the file again."
            )
        return batch

    def _take_in(self, request: HttpRequest, batch: ImportBatch, table: reading.Table) -> HttpResponse:
        outcome = returned.take_in(batch, table)
        if outcome is None:
            messages.warning(request, import_steps.BUSY)
        else:
            import_steps.say_what_came_back(request, batch, outcome)
        return self._to(batch, query=f"?show={_V.ERROR}")

    def _page(self, request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
        common = {**self.admin_site.each_context(request), "subtitle": None, "opts": self.opts}
        media = self.media + context["form"].media if "form" in context else self.media
        template = f"admin/waitlist/importbatch/{name}.html"
        return TemplateResponse(request, template, {**common, "media": media, **context})

    def _progress(self, batch: ImportBatch) -> dict[str, Any]:
        ready = batch.rows.filter(verdict=_V.READY).count() if batch.status == _S.ADDING else 0
        return {"batch": batch, "is_working": batch.status in (_S.CHECKING, _S.ADDING), "ready": ready}

    def _to(self, batch: ImportBatch, page: str = "change", query: str = "") -> HttpResponse:
        return HttpResponseRedirect(reverse(f"admin:waitlist_importbatch_{page}", args=[batch.pk]) + query)

    # --- columns of the list ------------------------------------------------------------------------------------------

    @admin.display(description="List", ordering="pk")
    def number(self, row: ImportBatch) -> str:
        return f"list {row.pk}"

    @admin.display(description="State", ordering="status")
    def status_shown(self, row: ImportBatch) -> str:
        return state(row.status, row.get_status_display(), _TONES.get(_S(row.status), "stop"))

    @admin.display(description="Consent to texts", ordering="consent")
    def consent_shown(self, row: ImportBatch) -> str:
        return row.get_consent_display()

    @admin.display(description="Uploaded by")
    def by(self, row: ImportBatch) -> str:
        return row.uploaded_by.get_username() if row.uploaded_by else "–"

    @admin.display(description="When", ordering="created_at")
    def uploaded(self, row: ImportBatch) -> str:
        return when(row.created_at)
