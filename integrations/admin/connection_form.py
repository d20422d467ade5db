"""The form of a connection: what a practice enters about its EHR, in the words in which it is asked."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django import forms
from django.db import transaction
from django.utils.text import slugify

from integrations.ehr import checking
from integrations.ehr.fhir.connecting import ClientIdentity
from integrations.ehr.fhir.scopes import with_right_to_register
from integrations.ehr.gateway import Refused
from integrations.models import Connection
from scheduling.models import Source

#: What is asked of the EHR and kept with its source.
_OF_SOURCE: Final = ("name", "writable", "registers_patients")


class SecretText(forms.Textarea):
    """Several lines that are not shown again, not even when something else in the form is wrong."""

    def format_value(self, value: Any) -> str:
        return ""


class ConnectionForm(forms.ModelForm[Connection]):
    """A connection and what its source says of the EHR: one form, since a practice knows them as one thing."""

    may_change_source: ClassVar[bool] = True

    name = forms.CharField(max_length=120, label="Name", help_text="As staff see it, such as “Epic” or “Main EHR”.")
    slug = forms.SlugField(
        max_length=60,
        required=False,
        label="Short name",
        help_text="Stands in the address its notifications go to, so it stays as it is. Empty: made from the name.",
    )
    base_url = forms.URLField(
        max_length=400,
        assume_scheme="https",
        required=False,
        label="Address",
        error_messages={"invalid": checking.NO_WEB_ADDRESS},
        help_text="The EHR’s base address over https: of FHIR R4, or of what its kind speaks.",
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
        label="Client secret",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    new_webhook_secret = forms.CharField(
        required=False,
        strip=True,
        label="Webhook secret",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="A new one is put in front of those that are kept; all are accepted while the EHR changes over.",
    )
    only_newest_webhook_secret = forms.BooleanField(
        required=False,
        label="Keep only the newest webhook secret",
        help_text="When the EHR has changed over.",
    )
    new_certificate_key = forms.CharField(
        required=False,
        label="Its private key",
        widget=SecretText(attrs={"rows": 4, "autocomplete": "off", "spellcheck": "false"}),
        help_text="PEM. Stored encrypted and never shown again; leave it empty to keep the one that is stored.",
    )
    writable = forms.BooleanField(
        required=False,
        initial=True,
        label="Write bookings to this EHR",
        help_text="Off: each booking becomes a task for staff, who enter it by hand. Good for a first look.",
    )
    registers_patients = forms.ChoiceField(
        choices=Source.Registers.choices,
        initial=Source.Registers.STAFF,
        label="New patients are registered",
        help_text="Somebody on the waitlist whom this EHR does not know needs a record there before a booking. By "
        "staff: they get a task, and the booking waits for them. By machine: we search by number, name and birth date "
        "and register whom nobody resembles; a record that may be theirs is always for staff to compare. This needs "
        "the right system/Patient.write, which is added to those below.",
    )

    class Meta:
        model = Connection
        exclude = ("source", "client_secret", "webhook_secrets", "client_certificate_key")  # noqa: DJ006  all but the secrets
        labels: ClassVar[dict[str, str]] = {
            "slug": "Short name",
            "client_id": "Client’s id",
            "login_method": "Login by",
            "scope": "Rights we ask for",
            "client_certificate": "Client certificate",
            "credentials_due_on": "Login to be changed by",
            "mrn_system": "MRN system",
            "missing_reason": "A cancellation without a reason",
            "identifier_system": "Booking number system",
            "events_by": "Notifications come by",
            "webhook_proof": "They are proven by",
            "webhook_senders": "They come from",
            "poll_minutes": "Ask what changed every",
            "poll_overlap_minutes": "Ask back beyond the last time by",
            "batch_minutes": "Batches every",
            "calls_per_minute": "Calls a minute",
            "reconcile_hour": "Compare at",
            "reconcile_days": "Days compared",
            "silence_minutes": "Alert after silence of",
            "settle_seconds": "A late write may settle for",
        }
        help_texts: ClassVar[dict[str, str]] = {
            "scope": "SMART scopes, divided by spaces. Empty: whatever the vendor grants.",
            "missing_reason": "What it does: offer the time, ask staff, or open nothing.",
            "mrn_system": "The identifier system of this EHR’s medical record numbers, as the vendor names it. "
            "Patients are linked by it.",
            "practice_number": "Only athenahealth: the practice’s own number at the vendor. Each search "
            "and booking names it.",
            "credentials_due_on": "When secret, key or certificate should be changed. Staff are reminded.",
            "poll_minutes": "Minutes. For an EHR that sends nothing, this is how long a cancellation goes unnoticed.",
            "poll_overlap_minutes": "Minutes: what was stored late is met again.",
            "batch_minutes": "Minutes, where a batch is chosen.",
            "reconcile_days": "How many days ahead.",
            "silence_minutes": "Minutes of office hours in which nothing came.",
            "settle_seconds": "Seconds after a request’s deadline in which the EHR may still store it.",
            "identifier_system": "Our bookings are found again by it. Leave it unless the vendor prescribes one.",
        }
        widgets: ClassVar[dict[str, forms.Widget]] = {
            "client_certificate": forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
            "webhook_senders": forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial.update({name: getattr(self.instance.source, name) for name in _OF_SOURCE})
            if "new_client_secret" in self.fields:
                self.fields["new_client_secret"].help_text = "Leave it empty to keep the one that is stored."
            for field in _OF_SOURCE:
                if field in self.fields:
                    self.fields[field].disabled = not self.may_change_source

    def clean_slug(self) -> str:
        name = self.cleaned_data.get("name", "")
        slug: str = self.cleaned_data["slug"] or slugify(name)[:60]
        if name and not slug:
            raise forms.ValidationError("Give it a short name of letters and digits, such as “main”.")
        if Connection.objects.filter(slug=slug).exists() or Source.objects.filter(key=slug).exists():
            raise forms.ValidationError("Another EHR or list has this short name. Choose another.")
        return slug

    def clean_base_url(self) -> str:
        """Refuse an address that must not be called while the person who typed it is still looking."""
        address: str = self.cleaned_data["base_url"]
        if self.data.get("kind", self.instance.kind) == Connection.Kind.HL7V2:
            return ""  # it only sends: there is nothing to call
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
        if cleaned.get("registers_patients") == Source.Registers.MACHINE:
            cleaned["scope"] = with_right_to_register(cleaned.get("scope") or "")
        if cleaned.get("kind") == Connection.Kind.HL7V2:
            return self._of_messages(cleaned)
        self._check_login(cleaned)
        return cleaned

    def _of_messages(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        """An EHR that only sends lets nobody in, and nothing can be written to it."""
        if not cleaned.get("mrn_system"):
            self.add_error("mrn_system", "Patients in messages are known by their record number. Name its system.")
        by_staff = {"writable": False, "registers_patients": Source.Registers.STAFF}
        return cleaned | by_staff | {"login_method": Connection.LoginMethod.NONE}

    def _check_login(self, cleaned: dict[str, Any]) -> None:
        method = cleaned.get("login_method")
        by_secret = method in (Connection.LoginMethod.SECRET_BASIC, Connection.LoginMethod.SECRET_POST)
        if by_secret and not (cleaned.get("new_client_secret") or self.instance.client_secret):
            self.add_error("new_client_secret", "This login needs the client secret that the vendor gave you.")
        if method != Connection.LoginMethod.NONE and not cleaned.get("client_id"):
            self.add_error("client_id", "This login needs the client’s id, as the vendor registered it.")
        certificate = cleaned.get("client_certificate") or ""
        key = cleaned.get("new_certificate_key") or self.instance.client_certificate_key or ""
        if certificate:
            try:
                ClientIdentity(certificate, key).context()
            except Refused as error:
                self.add_error("client_certificate", error.detail)

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
        with transaction.atomic():
            self._save_source(row)
            saved: Connection = super().save(commit)
        return saved

    def _save_source(self, row: Connection) -> None:
        """A new EHR is read and written only once a person has seen what its check found."""
        fields = {name: self.cleaned_data[name] for name in _OF_SOURCE}
        if row._state.adding:
            row.state = Connection.State.PAUSED
            row.source = Source.objects.create(key=self.cleaned_data["slug"], **fields)
            return
        changed = {name: value for name, value in fields.items() if getattr(row.source, name) != value}
        for name, value in changed.items():
            setattr(row.source, name, value)
        if changed:
            row.source.save(update_fields=list(changed))
