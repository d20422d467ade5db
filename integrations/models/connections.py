"""A connection to an EHR, and what belongs to it: its pace and our subscriptions."""

from __future__ import annotations

import ipaddress

from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from audit.fields import EncryptedJSONField, EncryptedTextField
from integrations.ehr import kinds
from integrations.models.messages import MessageSettings


def connection_kinds() -> list[tuple[str, str]]:
    """Return the kinds of EHR there is an adapter for: ours, and those that the setting EHR_ADAPTERS adds."""
    added = kinds.added()
    if taken := [kind for kind, _ in added if kind in Connection.Kind.values]:
        raise ImproperlyConfigured(f"EHR_ADAPTERS: {', '.join(taken)} is a kind of ours; give yours another name.")
    return [*Connection.Kind.choices, *added]


def validate_networks(written: str) -> None:
    """Refuse a line that is neither an IP address nor a network such as 192.0.2.0/24."""
    for line in written.split():
        try:
            ipaddress.ip_network(line)
        except ValueError:
            raise ValidationError(
                "%(line)s is neither an address nor a network. Write for example 192.0.2.0/24.", params={"line": line}
            ) from None


class Connection(MessageSettings):
    """One EHR: where it is, how we log in, how it is polled and how it fares.

    ``webhook_secrets`` is a list of strings, the newest first; all are accepted while one rotates.
    ``cursor`` is the EHR's own clock, advanced only after the last page of a poll.
    """

    class Kind(models.TextChoices):
        FHIR = "fhir", "FHIR R4: Medplum, HAPI, Aidbox, Blaze and others"
        ORACLE = "oracle", "Oracle Health (Millennium)"
        ARGONAUT = "argonaut", "Argonaut Scheduling: Epic"
        ATHENA = "athena", "athenahealth"
        HL7V2 = "hl7v2", "HL7 v2 messages alone, no FHIR"

    class State(models.TextChoices):
        ACTIVE = "active", "active"
        PAUSED = "paused", "paused"
        STOPPED = "stopped", "stopped: the login was refused"

    class LoginMethod(models.TextChoices):
        SECRET_BASIC = "secret_basic", "client secret, in the Authorization header"
        SECRET_POST = "secret_post", "client secret, in the form"
        SIGNED = "signed", "signed by our key (private_key_jwt)"
        NONE = "none", "no login: a test server, or only a client certificate"

    class WebhookProof(models.TextChoices):
        SIGNATURE = "signature", "a signature over the body"
        BEARER = "bearer", "a bearer token, from named addresses only"

    class EventsBy(models.TextChoices):
        CRITERIA = "criteria", "R4 subscription by criteria"
        TOPIC = "topic", "subscription by topic (R5 backport)"
        PLATFORM = "platform", "the vendor's own platform, set up there"

    class Pace(models.TextChoices):
        REAL_TIME = "real_time", "real-time: as notifications arrive"
        HYBRID = "hybrid", "hybrid: at once where it may free time or is near, the rest in batches"
        BATCH = "batch", "batch: every so many minutes, together"

    class MissingReason(models.TextChoices):
        OFFER = "offer", "offer the time"
        STAFF = "staff", "ask staff"
        NOTHING = "nothing", "open nothing"

    slug = models.SlugField(max_length=60, unique=True, help_text="Stands in the webhook's address.")
    source = models.OneToOneField("scheduling.Source", on_delete=models.PROTECT, related_name="connection")
    kind = models.CharField(max_length=20, choices=connection_kinds, default=Kind.FHIR)
    state = models.CharField(max_length=10, choices=State, default=State.ACTIVE)
    base_url = models.URLField(max_length=400, blank=True)
    practice_number = models.CharField(
        max_length=40, blank=True, help_text="The practice's own number at the vendor, where its addresses hold one."
    )
    token_url = models.URLField(max_length=400, blank=True, help_text="Empty: discovered at the EHR.")
    client_id = models.CharField(max_length=200, blank=True)
    client_secret = EncryptedTextField(blank=True)
    login_method = models.CharField(max_length=20, choices=LoginMethod, default=LoginMethod.SECRET_BASIC)
    scope = models.CharField(max_length=400, blank=True, default="system/*.read system/Appointment.write")
    client_certificate = models.TextField(blank=True, help_text="PEM, with its chain: shown to the EHR (mutual TLS).")
    client_certificate_key = EncryptedTextField(blank=True)
    credentials_due_on = models.DateField(
        null=True, blank=True, help_text="When secret, key or certificate should be changed. Staff are reminded."
    )
    webhook_secrets = EncryptedJSONField(default=list, blank=True)
    webhook_proof = models.CharField(max_length=10, choices=WebhookProof, default=WebhookProof.SIGNATURE)
    webhook_senders = models.TextField(
        blank=True,
        validators=[validate_networks],
        help_text="For bearer tokens: the addresses or networks its calls come from, one on each line.",
    )
    identifier_system = models.CharField(max_length=255, default="urn:sooner:booking")
    mrn_system = models.CharField(max_length=255, blank=True, help_text="The identifier system of this EHR's MRNs.")
    calls_per_minute = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(2)],
        help_text="The vendor's limit, kept by all workers together. Empty: none is known.",
    )
    poll_minutes = models.PositiveSmallIntegerField(default=5, validators=[MinValueValidator(1)])
    appointment_pace = models.CharField(
        "appointments",
        max_length=10,
        choices=Pace,
        default=Pace.REAL_TIME,
        help_text="When notifications about appointments are dealt with. Hybrid: at once for a visit we know or one "
        "within two days, new visits further off in batches. What the poll finds is dealt with as it is found.",
    )
    patient_pace = models.CharField(
        "patients",
        max_length=10,
        choices=Pace,
        default=Pace.HYBRID,
        help_text="Names, contacts, merges. Hybrid: notifications at once, and what changed is read every so many "
        "minutes as well. Batch: notifications wait for that. Real-time alone: only where the EHR itself notifies us "
        "of patients; what we subscribe to is appointments.",
    )
    directory_pace = models.CharField(
        "clinicians and places",
        max_length=10,
        choices=Pace,
        default=Pace.HYBRID,
        help_text="As for patients.",
    )
    batch_minutes = models.PositiveSmallIntegerField(
        default=15, validators=[MinValueValidator(1)], help_text="Minutes between two batches, where any is chosen."
    )
    same_day_minutes = models.PositiveIntegerField(
        "calendar's age for same-day offers",
        null=True,
        blank=True,
        default=60,
        validators=[MinValueValidator(1)],
        help_text="Minutes. Times of the same day are not offered while the calendar was last read to its end longer "
        "ago; it is read at once, and offers go on by themselves. Empty: no limit.",
    )
    later_day_minutes = models.PositiveIntegerField(
        "calendar's age for later offers",
        null=True,
        blank=True,
        default=1440,
        validators=[MinValueValidator(1)],
        help_text="Minutes, for times from tomorrow on. Empty: no limit.",
    )
    booking_minutes = models.PositiveIntegerField(
        "calendar's age for bookings",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Minutes. Bookings wait while the calendar is older. Empty: no limit, since the EHR is asked whether "
        "the time is free just before each booking.",
    )
    poll_overlap_minutes = models.PositiveSmallIntegerField(default=5, validators=[MinValueValidator(5)])
    events_by = models.CharField(max_length=10, choices=EventsBy, default=EventsBy.CRITERIA)
    event_topic = models.CharField(
        max_length=400, blank=True, help_text="The SubscriptionTopic of appointments, where events come by topic."
    )
    missing_reason = models.CharField(
        max_length=10,
        choices=MissingReason,
        default=MissingReason.OFFER,
        help_text="What a cancellation without a reason does.",
    )
    silence_minutes = models.PositiveIntegerField(
        default=360, help_text="Alert when nothing came for so many minutes of office hours."
    )
    settle_seconds = models.PositiveSmallIntegerField(
        default=2, help_text="How long after a request's deadline the EHR may still store it."
    )
    capabilities = models.JSONField(default=dict, blank=True)
    cursor = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True, help_text="When it was last checked what the EHR can do.")
    findings = models.JSONField(default=list, blank=True)
    loaded_at = models.DateTimeField(null=True, blank=True, help_text="When the initial load was complete.")
    load_due_at = models.DateTimeField(null=True, blank=True, help_text="When a load that somebody asked for begins.")
    patients_stale = models.BooleanField(
        default=False,
        editable=False,
        help_text="Where a detail stands, or whose it is, changed: the next load reads every patient.",
    )
    load_progress = models.JSONField(
        default=dict, blank=True, editable=False, help_text="How far the last load has come, by kind."
    )
    reconcile_hour = models.PositiveSmallIntegerField(
        default=2,
        validators=[MaxValueValidator(23)],
        help_text="The hour of the night, by the practice's clock, when the calendar is compared with ours.",
    )
    reconcile_days = models.PositiveSmallIntegerField(
        default=30, validators=[MinValueValidator(1), MaxValueValidator(90)], help_text="How many days ahead."
    )
    reconcile_due_at = models.DateTimeField(null=True, blank=True)
    history_due_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When the next stretch of past cancellations is read."
    )
    history_progress = models.JSONField(
        default=dict, blank=True, editable=False, help_text="How far the last reading of past cancellations has come."
    )
    poll_due_at = models.DateTimeField(null=True, blank=True)
    poll_lease_until = models.DateTimeField(null=True, blank=True)
    last_poll_at = models.DateTimeField(null=True, blank=True)
    listens_since = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Since when the EHR is to tell us of each change."
    )
    calendar_as_of = models.DateTimeField(
        null=True, blank=True, help_text="When the last complete read of the calendar began, by our clock."
    )
    rereads = models.JSONField(
        default=dict, blank=True, editable=False, help_text="When patients and directory were last read again, by kind."
    )
    coverage_due_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Nobody's insurance is asked for before this. Empty: at once."
    )
    coverage_problem = models.CharField(
        max_length=200, blank=True, editable=False, help_text="Why the EHR told no insurance when it was last asked."
    )
    last_event_at = models.DateTimeField(null=True, blank=True)
    last_success_at = models.DateTimeField(null=True, blank=True)
    failing_since = models.DateTimeField(null=True, blank=True)
    quiet_until = models.DateTimeField(
        null=True, blank=True, help_text="No calls before this: the EHR asked for patience, or is down."
    )
    last_error = models.CharField(max_length=300, blank=True)

    class Meta:
        permissions = (("operate_connection", "Can pause, resume and sync a connection"),)

    def __str__(self) -> str:
        return self.slug

    @property
    def only_sends(self) -> bool:
        """Whether the EHR cannot be asked anything: what it sends is all we know of it."""
        return self.kind == self.Kind.HL7V2


class CallPace(models.Model):
    """When the next everyday call to an EHR may leave, where the number of calls per minute is limited."""

    connection = models.OneToOneField(Connection, on_delete=models.CASCADE, related_name="pace")
    next_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"pace of connection {self.connection_id}"


class EventSubscription(models.Model):
    """A subscription of ours at an EHR, and how far its events have come.

    ``events_seen`` is the EHR's own count of events since the subscription began, as far as we have heard it.
    """

    class Status(models.TextChoices):
        REQUESTED = "requested", "requested"
        ACTIVE = "active", "active"
        ERROR = "error", "in error"
        OFF = "off", "off"

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="subscriptions")
    external_id = models.CharField(max_length=200)
    by = models.CharField(max_length=10, choices=Connection.EventsBy)
    status = models.CharField(max_length=10, choices=Status, default=Status.REQUESTED)
    events_seen = models.PositiveBigIntegerField(null=True, blank=True)
    heartbeat_seconds = models.PositiveIntegerField(null=True, blank=True)
    last_heard_at = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("connection", "external_id"), name="event_subscription_once"),)

    def __str__(self) -> str:
        return f"subscription {self.external_id}"
