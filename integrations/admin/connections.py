"""The connections' settings. Secrets go in and never come out."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html

from integrations.ehr import checking, event_stream
from integrations.ehr.fhir.connecting import ClientIdentity
from integrations.ehr.gateway import Refused
from integrations.models import Connection
from scheduling.admin.base import ScopedAdmin
from scheduling.admin.display import link, state, when


class ConnectionForm(forms.ModelForm[Connection]):
    base_url = forms.URLField(
        max_length=400,
        assume_scheme="https",
        label="Address",
        help_text="The EHR's base address: of FHIR R4, or of what its kind speaks.",
    )
    token_url = forms.URLField(
        max_length=400,
        assume_scheme="https",
        required=False,
        label="Token address",
        help_text="Empty: discovered at the EHR.",
    )
    new_client_secret = forms.CharField(
        required=False,
        strip=True,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Leave it empty to keep the one that is stored. It is never shown.",
    )
    new_webhook_secret = forms.CharField(
        required=False,
        strip=True,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Is added in front of those that are stored; all of them are accepted while the EHR changes over.",
    )
    only_newest_webhook_secret = forms.BooleanField(
        required=False, help_text="Forget all webhook secrets but the newest, when the EHR has changed over."
    )

    new_certificate_key = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "autocomplete": "off", "spellcheck": "false"}),
        help_text="The private key of the client certificate, PEM. Leave it empty to keep the one that is stored.",
    )

    class Meta:
        model = Connection
        exclude = ("client_secret", "webhook_secrets", "client_certificate_key")  # noqa: DJ006  all but the secrets
        labels: ClassVar[dict[str, str]] = {
            "slug": "Short name",
            "source": "EHR",
            "client_id": "Client’s id",
            "mrn_system": "MRN system",
            "identifier_system": "Booking number system",
            "credentials_due_on": "Login to be changed by",
        }

    def clean_base_url(self) -> str:
        """Refuse an address that must not be called while the person who typed it is still looking."""
        address: str = self.cleaned_data["base_url"]
        if problem := checking.address_problem(address):
            raise forms.ValidationError(problem)
        return address

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("events_by") == Connection.EventsBy.TOPIC and not cleaned.get("event_topic"):
            self.add_error("event_topic", "Events by topic need the topic's address. The vendor's documents name it.")
        if cleaned.get("webhook_proof") == Connection.WebhookProof.BEARER and not cleaned.get("webhook_senders"):
            self.add_error(
                "webhook_senders", "A bearer token counts only from addresses named here. Name at least one."
            )
        certificate = cleaned.get("client_certificate") or ""
        key = cleaned.get("new_certificate_key") or self.instance.client_certificate_key or ""
        if certificate:
            try:
                ClientIdentity(certificate, key).context()
            except Refused as error:
                self.add_error("client_certificate", error.detail)
        return cleaned

    def save(self, commit: bool = True) -> Connection:
        row = self.instance
        if self.cleaned_data["new_client_secret"]:
            row.client_secret = self.cleaned_data["new_client_secret"]
        if self.cleaned_data["new_certificate_key"]:
            row.client_certificate_key = self.cleaned_data["new_certificate_key"]
        secrets = list(row.webhook_secrets or [])
        if self.cleaned_data["new_webhook_secret"]:
            secrets.insert(0, self.cleaned_data["new_webhook_secret"])
        row.webhook_secrets = secrets[:1] if self.cleaned_data["only_newest_webhook_secret"] else secrets
        saved: Connection = super().save(commit)
        return saved


@admin.register(Connection)
class ConnectionAdmin(ScopedAdmin):
    everyones = "A connection serves all locations of its EHR."
    empty_list_says = "No EHR is connected yet. Press “Add connection”."
    form = ConnectionForm
    list_display = ("slug", "source", "kind", "state_shown", "last_heard", "failing", "page")
    list_select_related = ("source",)
    fieldsets = (
        (None, {"fields": ("slug", "source", "kind", "state_shown", "base_url", "practice_number", "token_url")}),
        (
            "Signing in",
            {
                "fields": (
                    "login_method",
                    "client_id",
                    "new_client_secret",
                    "scope",
                    "client_certificate",
                    "new_certificate_key",
                    "credentials_due_on",
                )
            },
        ),
        (
            "Webhook",
            {
                "fields": (
                    "events_by",
                    "event_topic",
                    "webhook_proof",
                    "webhook_senders",
                    "webhook_secrets_kept",
                    "new_webhook_secret",
                    "only_newest_webhook_secret",
                )
            },
        ),
        ("Names in the EHR", {"fields": ("identifier_system", "mrn_system")}),
        (
            "How it is read",
            {
                "fields": (
                    "appointment_pace",
                    "patient_pace",
                    "directory_pace",
                    "batch_minutes",
                    "calls_per_minute",
                    "poll_minutes",
                    "poll_overlap_minutes",
                    "reconcile_hour",
                    "reconcile_days",
                    "missing_reason",
                    "silence_minutes",
                    "settle_seconds",
                    "capabilities",
                )
            },
        ),
        (
            "How old the calendar may be",
            {
                "fields": ("same_day_minutes", "later_day_minutes", "booking_minutes"),
                "description": "The calendar is as old as the last read that went through to its end. Reports and what "
                "is booked already go on whatever its age.",
            },
        ),
        ("How it fares", {"fields": ("last_heard", "failing", "loaded_at", "cursor", "last_error")}),
    )
    readonly_fields = (
        "state_shown",
        "webhook_secrets_kept",
        "capabilities",
        "last_heard",
        "failing",
        "loaded_at",
        "cursor",
        "last_error",
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # The address stands in the EHR's settings, the source in every row that came from it.
        return (*self.readonly_fields, "slug", "source") if obj else self.readonly_fields

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="State", ordering="state")
    def state_shown(self, row: Connection) -> str:
        return state(row.state, row.get_state_display())

    @admin.display(description="Webhook secrets kept")
    def webhook_secrets_kept(self, row: Connection) -> str:
        return str(len(row.webhook_secrets or []))

    @admin.display(description="Last heard", ordering="last_event_at")
    def last_heard(self, row: Connection) -> str:
        return when(max((at for at in (row.last_event_at, row.last_poll_at) if at), default=None))

    @admin.display(description="Failing since", ordering="failing_since")
    def failing(self, row: Connection) -> str:
        return when(row.failing_since)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        event_stream.follow(obj, form.changed_data)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:desk_connecting", args=[obj.pk]))

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        if "_save" not in request.POST:
            return super().response_change(request, obj)
        messages.success(request, "Saved. Check the connection below: what is stored may not be what the EHR accepts.")
        return HttpResponseRedirect(reverse("admin:desk_connecting", args=[obj.pk]))

    @admin.display(description="")
    def page(self, row: Connection) -> str:
        return format_html(
            "{} · {}", link("connect", "desk_connecting", row.pk), link("pause, resume, sync", "desk_status")
        )
