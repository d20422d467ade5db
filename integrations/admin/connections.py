"""The connections' settings. Secrets go in and never come out."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html

from integrations.admin import connection_groups
from integrations.admin.connection_form import ConnectionForm
from integrations.ehr import event_stream
from integrations.ehr.abilities import abilities
from integrations.ehr.fhir.scopes import allow
from integrations.models import Connection
from scheduling.admin.base import ScopedAdmin
from scheduling.admin.display import link, state, when
from scheduling.models import Source


@admin.register(Connection)
class ConnectionAdmin(ScopedAdmin):
    everyones = "A connection serves all locations of its EHR."
    empty_list_says = "No EHR is connected yet. Press “Add connection”."
    form = ConnectionForm
    list_display = ("ehr", "slug", "kind", "state_shown", "last_heard", "failing", "page")
    list_select_related = ("source",)
    readonly_fields = (
        "state_shown",
        "webhook_secrets_kept",
        "abilities",
        "last_heard",
        "failing",
        "loaded",
        "read_up_to",
        "last_error",
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return connection_groups.CHANGING if obj else connection_groups.ADDING

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # Notifications go to the address the short name stands in.
        return (*self.readonly_fields, "slug") if obj else self.readonly_fields

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return {} if obj else {"slug": ("name",)}

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        form.may_change_source = obj is None or request.user.has_perm("scheduling.change_source")  # type: ignore[attr-defined]
        return form

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        extra = {"show_save_and_add_another": False, **(extra_context or {})}
        if object_id is None:
            extra |= {"title": "Connect an EHR", "show_save_and_continue": False}
        return super().changeform_view(request, object_id, form_url, extra)

    def title_of(self, row: Any) -> str:
        return f"{row.source.name}: settings"

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="EHR", ordering="source__name")
    def ehr(self, row: Connection) -> str:
        return row.source.name

    @admin.display(description="State", ordering="state")
    def state_shown(self, row: Connection) -> str:
        return state(row.state, row.get_state_display())

    @admin.display(description="Secrets kept")
    def webhook_secrets_kept(self, row: Connection) -> str:
        return str(len(row.webhook_secrets or [])) if row.pk else "none yet"

    @admin.display(description="")
    def abilities(self, row: Connection) -> str:
        context = {"abilities": abilities(row), "row": row, "connect": reverse("admin:desk_connecting", args=[row.pk])}
        return render_to_string("admin/integrations/connection/abilities.html", context)

    @admin.display(description="Last heard", ordering="last_event_at")
    def last_heard(self, row: Connection) -> str:
        return when(max((at for at in (row.last_event_at, row.last_poll_at) if at), default=None))

    @admin.display(description="Failing since", ordering="failing_since")
    def failing(self, row: Connection) -> str:
        return when(row.failing_since)

    @admin.display(description="Calendar loaded")
    def loaded(self, row: Connection) -> str:
        return when(row.loaded_at)

    @admin.display(description="Changes read up to")
    def read_up_to(self, row: Connection) -> str:
        return when(row.cursor)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        event_stream.follow(obj, form.changed_data)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:desk_connecting", args=[obj.pk]))

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        if "_save" not in request.POST:
            return super().response_change(request, obj)
        messages.success(request, "Saved. Check the connection below: what is stored may not be what the EHR accepts.")
        by_staff = obj.source.registers_patients == Source.Registers.STAFF
        if by_staff and allow(obj.scope, "system/Patient.c"):
            messages.info(
                request,
                "The rights we ask for still let us write patients. Corrections of contact details use that too; "
                "take it out of the rights where you want neither.",
            )
        return HttpResponseRedirect(reverse("admin:desk_connecting", args=[obj.pk]))

    @admin.display(description="Go to")
    def page(self, row: Connection) -> str:
        return format_html(
            "{} · {}", link("connect", "desk_connecting", row.pk), link("pause, resume, sync", "desk_status")
        )
