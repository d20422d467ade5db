"""The base of every staff screen: location scope, refusals on record, and a record of every patient seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from audit.log import record
from audit.models import AccessRecord
from scheduling.admin import search, viewing
from scheduling.admin.scope import fetch_or_404, refuse_elsewhere, visible
from scheduling.models import Patient

if TYPE_CHECKING:
    PlainAdmin = admin.ModelAdmin[Any]
else:  # generic for the type checker only
    PlainAdmin = admin.ModelAdmin


class ScopedRelatedFilter(admin.RelatedFieldListFilter):
    """A filter by related row that names only the rows of the person's locations."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[Any]:
        seen = visible(field.remote_field.model._default_manager.all(), request.user)
        ordering = self.field_admin_ordering(field, request, model_admin)
        choices: list[Any] = field.get_choices(
            include_blank=False, ordering=ordering, limit_choices_to={"pk__in": seen.values("pk")}
        )
        return choices


class ScopedFields:
    """Form fields, of a page or of an inline, that offer only what the person may see."""

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("queryset", _seen_by(db_field, request))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("queryset", _seen_by(db_field, request))
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]


def _seen_by(db_field: Any, request: Any) -> QuerySet[Any]:
    return visible(db_field.remote_field.model._default_manager.all(), request.user)


class ScopedAdmin(ScopedFields, PlainAdmin):
    """A screen of one model.

    ``everyones`` says why all staff with the permission may see all rows, for models that belong to no location.
    ``patients_in`` lists the attributes that lead from a row to the patients its page names ("patient",
    "offer.patient"); "" is the row itself. With ``finds_patients``, the way to a patient's key, the list is searched
    by patient. ``records_row``: opening a row's page is recorded about the row too. ``names_row``: the page's heading
    is the row's name, for rows that are about no patient: headings end up in histories and bookmarks.
    """

    everyones: ClassVar[str] = ""
    patients_in: ClassVar[tuple[str, ...]] = ()
    records_row: ClassVar[bool] = False
    names_row: ClassVar[bool] = False
    empty_list_says: ClassVar[str] = ""
    list_title: ClassVar[str] = ""
    finds_patients: ClassVar[str] = ""

    list_per_page = 50
    show_full_result_count = False
    empty_value_display = "–"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return visible(super().get_queryset(request), request.user)

    @property
    def _list_name(self) -> str:
        return self.list_title or str(self.opts.verbose_name_plural).capitalize()

    # --- one row ---------------------------------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self._row_or_404(request, object_id)
        self._refuse_foreign_choices(request)
        title = {
            "title": self.title_of(row),
            "subtitle": None,
            "list_name": self._list_name,
        }
        with _refusals_on_record(row):
            response = super().change_view(request, object_id, form_url, {**title, **(extra_context or {})})
        if request.method == "GET" and response.status_code == 200:
            viewing.record_view(self.patients_of(row))
            if self.records_row:
                record(AccessRecord.Action.VIEW, subject=row)
        return response

    def title_of(self, row: Any) -> str:
        """Return the heading of a row's page."""
        return str(row) if self.names_row else f"{str(self.opts.verbose_name).capitalize()} {row.pk}"

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        self._refuse_foreign_choices(request)
        return super().add_view(request, form_url, {"list_name": self._list_name, **(extra_context or {})})

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self._row_or_404(request, object_id)
        told = {"list_name": self._list_name, "row_name": self.title_of(row)}
        with _refusals_on_record(row):
            return super().delete_view(request, object_id, {**told, **(extra_context or {})})

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self._row_or_404(request, object_id)
        name = self.title_of(row)
        told = {"list_name": self._list_name, "title": f"Change history: {name}", "row_name": name}
        with _refusals_on_record(row):
            return super().history_view(request, object_id, {**told, **(extra_context or {})})

    def _row_or_404(self, request: HttpRequest, object_id: str) -> Any:
        # Before Django looks: it would redirect with a message, inside a transaction that takes the record with it.
        return fetch_or_404(self.get_queryset(request), request.user, object_id)

    def _refuse_foreign_choices(self, request: HttpRequest) -> None:
        for field in (*self.opts.fields, *self.opts.many_to_many):
            related = field.remote_field.model if field.remote_field else None
            given = (text for source in (request.POST, request.GET) for text in source.getlist(field.name))
            values = [value for text in given for value in str(text).split(",")]
            if related is not None and not isinstance(related, str) and values:
                refuse_elsewhere(related._default_manager.all(), request.user, values)

    # --- many rows -------------------------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        selected = request.POST.getlist(ACTION_CHECKBOX_NAME)
        refuse_elsewhere(self.model._default_manager.all(), request.user, selected)
        self._refuse_foreign_filters(request)
        title = {"title": self._list_name, "list_name": self._list_name, "subtitle": None}
        response = super().changelist_view(request, {**title, **(extra_context or {})})
        if self.patients_in and isinstance(response, TemplateResponse):
            shown = response.context_data.get("cl") if response.context_data else None
            rows = getattr(shown, "result_list", ())
            viewing.record_listed(request.user, [each for row in rows for each in self.patients_of(row)])
        return response

    def _refuse_foreign_filters(self, request: HttpRequest) -> None:
        for name, value in request.GET.items():
            field_name, _, rest = name.partition("__")
            if rest not in ("id__exact", "pk__exact", "exact", "", "id", "id__in", "in"):
                continue
            field = next((each for each in self.opts.get_fields() if each.name == field_name), None)
            related = getattr(field, "related_model", None)
            if related is not None:
                refuse_elsewhere(related._default_manager.all(), request.user, str(value).split(","))

    def patients_of(self, row: Any) -> Iterable[Patient | None]:
        """Return the patients the page of ``row`` names."""
        for dotted in self.patients_in:
            found = row
            for name in dotted.split(".") if dotted else ():
                found = getattr(found, name, None)
            yield found

    # --- searching for a patient -----------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        own = []
        if self.finds_patients:
            view = self.admin_site.admin_view(self.search_view)
            own = [path("search/", view, name=f"{self.opts.app_label}_{self.opts.model_name}_search")]
        return [*own, *super().get_urls()]

    def search_view(self, request: HttpRequest) -> HttpResponse:
        """Take the query by POST, so that no patient's name stands in an address."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        kept = request.GET.copy()
        kept.pop("q", None)
        sealed = search.seal(request.POST.get("query", ""))
        if sealed:
            kept["q"] = sealed
            record(AccessRecord.Action.SEARCH, subject_kind=self.opts.label_lower)
        target = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        return HttpResponseRedirect(f"{target}?{kept.urlencode()}" if kept else target)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not self.finds_patients:
            return super().get_search_results(request, queryset, search_term)
        query = search.unseal(search_term)
        if not query:
            return queryset, False
        found = search.find(query, Patient.objects.for_user(request.user))
        return queryset.filter(**{f"{self.finds_patients}__in": found.values("pk")}), False


class ReadOnlyAdmin(ScopedAdmin):
    """A screen of rows that only the machine writes, or that nobody may change."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@contextmanager
def _refusals_on_record(row: models.Model) -> Iterator[None]:
    """Put a missing permission on record; placed outside Django's transaction, which ends with the refusal."""
    try:
        yield
    except PermissionDenied:
        record(AccessRecord.Action.DENIED, subject=row, result=AccessRecord.Result.REFUSED, reason="no permission")
        raise
