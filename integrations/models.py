"""Connections to outside systems, what arrived from them and what was asked of them."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from audit.fields import EncryptedBinaryField, EncryptedJSONField, EncryptedTextField


class Connection(models.Model):
    """One EHR: where it is, how we log in, how it is polled and how it fares.

    ``webhook_secrets`` is a list of strings, the newest first; all are accepted while one rotates.
    ``cursor`` is the EHR's own clock, advanced only after the last page of a poll.
    """

    class Kind(models.TextChoices):
        FHIR = "fhir", "FHIR R4: Medplum, HAPI, Aidbox, Blaze and others"
        ORACLE = "oracle", "Oracle Health (Millennium)"
        ARGONAUT = "argonaut", "Argonaut Scheduling: Epic"
        ATHENA = "athena", "athenahealth"

    class State(models.TextChoices):
        ACTIVE = "active", "active"
        PAUSED = "paused", "paused"
        STOPPED = "stopped", "stopped: the login was refused"

    class LoginMethod(models.TextChoices):
        SECRET_BASIC = "secret_basic", "client secret, in the Authorization header"
        SECRET_POST = "secret_post", "client secret, in the form"
        SIGNED = "signed", "signed by our key (private_key_jwt)"
        NONE = "none", "no login: a test server, or only a client certificate"

    class EventsBy(models.TextChoices):
        CRITERIA = "criteria", "R4 subscription by criteria"
        TOPIC = "topic", "subscription by topic (R5 backport)"
        PLATFORM = "platform", "the vendor's own platform, set up there"

    class MissingReason(models.TextChoices):
        OFFER = "offer", "offer the time"
        STAFF = "staff", "ask staff"
        NOTHING = "nothing", "open nothing"

    slug = models.SlugField(max_length=60, unique=True, help_text="Stands in the webhook's address.")
    source = models.OneToOneField("scheduling.Source", on_delete=models.PROTECT, related_name="connection")
    kind = models.CharField(max_length=20, choices=Kind, default=Kind.FHIR)
    state = models.CharField(max_length=10, choices=State, default=State.ACTIVE)
    base_url = models.URLField(max_length=400)
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
    identifier_system = models.CharField(max_length=255, default="urn:sooner:booking")
    mrn_system = models.CharField(max_length=255, blank=True, help_text="The identifier system of this EHR's MRNs.")
    calls_per_minute = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(2)],
        help_text="The vendor's limit, kept by all workers together. Empty: none is known.",
    )
    poll_minutes = models.PositiveSmallIntegerField(default=5, validators=[MinValueValidator(1)])
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
    load_progress = models.JSONField(
        default=dict, blank=True, editable=False, help_text="How far the last load has come, by kind."
    )
    poll_due_at = models.DateTimeField(null=True, blank=True)
    poll_lease_until = models.DateTimeField(null=True, blank=True)
    last_poll_at = models.DateTimeField(null=True, blank=True)
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


class AccessToken(models.Model):
    """The connection's OAuth2 token, shared by all workers; ``lease_until`` lets one of them renew it."""

    connection = models.OneToOneField(Connection, on_delete=models.CASCADE, related_name="access_token")
    value = EncryptedTextField(blank=True)
    scope = models.TextField(blank=True, help_text="The scopes the EHR granted with it; empty: it did not say.")
    expires_at = models.DateTimeField(null=True)
    serial = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"token of connection {self.connection_id}"


class CallPace(models.Model):
    """When the next everyday call to an EHR may leave, where the number of calls per minute is limited."""

    connection = models.OneToOneField(Connection, on_delete=models.CASCADE, related_name="pace")
    next_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"pace of connection {self.connection_id}"


class SigningKey(models.Model):
    """A key our logins at one EHR are signed with. Its public half is published under the connection's address.

    A new key is published at once and signs from ``signs_from`` on, so that an EHR which keeps our key set for a while
    knows it by then; the one before stays published until ``published_until``.
    """

    class Algorithm(models.TextChoices):
        RS384 = "RS384", "RS384"
        ES384 = "ES384", "ES384"

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="signing_keys")
    kid = models.CharField(max_length=60, unique=True)
    algorithm = models.CharField(max_length=5, choices=Algorithm)
    private_key = EncryptedTextField()
    public_jwk = models.JSONField()
    created_at = models.DateTimeField()
    signs_from = models.DateTimeField()
    published_until = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"key {self.kid}"


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


class CodeMapping(models.Model):
    """What a code of the EHR means here. An unknown code is kept and shown, and holds up what depends on it."""

    class Domain(models.TextChoices):
        TYPE = "type", "appointment type"
        REASON = "reason", "cancellation reason"
        STATUS = "status", "appointment status"

    class State(models.TextChoices):
        UNMAPPED = "unmapped", "not mapped yet"
        MAPPED = "mapped", "mapped"

    #: Targets of cancellation reasons; types map to an AppointmentType's code.
    REBOOKABLE: ClassVar[str] = "rebookable"
    NOT_REBOOKABLE: ClassVar[str] = "not_rebookable"
    ASK_STAFF: ClassVar[str] = "ask_staff"

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="code_mappings")
    domain = models.CharField(max_length=10, choices=Domain)
    system = models.CharField(max_length=255, blank=True)
    code = models.CharField(max_length=120)
    display = models.CharField(max_length=200, blank=True)
    target = models.CharField(max_length=120, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.UNMAPPED)
    times_seen = models.PositiveIntegerField(default=0)
    last_seen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("connection", "domain", "system", "code"), name="code_mapping_once"),
        )

    def __str__(self) -> str:
        return f"{self.domain} {self.code}"


class InboundEvent(models.Model):
    """Something a source said, stored as received before it is acknowledged, and interpreted afterwards.

    ``dedupe_key`` is the event's id, else resource type, id and version, else a hash of the body. ``subject_key``
    names the resource it is about ("Appointment/123"); one event per subject is processed at a time.
    """

    class Via(models.TextChoices):
        WEBHOOK = "webhook", "webhook"
        POLL = "poll", "poll"
        LOAD = "load", "initial load"

    class Status(models.TextChoices):
        RECEIVED = "received", "received"
        PROCESSING = "processing", "processing"
        DONE = "done", "done"
        IGNORED = "ignored", "nothing to do"
        QUARANTINED = "quarantined", "cannot be read"
        DEAD = "dead", "dead letter"

    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="events")
    via = models.CharField(max_length=10, choices=Via)
    dedupe_key = models.CharField(max_length=255)
    subject_key = models.CharField(max_length=255, blank=True)
    body = EncryptedBinaryField()
    content_type = models.CharField(max_length=100, blank=True)
    status = models.CharField(max_length=12, choices=Status, default=Status.RECEIVED)
    outcome = models.CharField(max_length=120, blank=True, help_text="What came of it, for staff; no patient data.")
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)
    correlation_id = models.CharField(max_length=32, blank=True)
    received_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("connection", "dedupe_key"), name="event_once_per_source"),
            models.UniqueConstraint(
                fields=("connection", "subject_key"),
                condition=Q(status="processing") & ~Q(subject_key=""),
                name="one_event_per_subject_at_a_time",
            ),
        )
        indexes = (
            models.Index(fields=("due_at",), condition=Q(status__in=("received", "processing")), name="event_due"),
            models.Index(fields=("connection", "received_at"), name="event_by_time"),
        )

    def __str__(self) -> str:
        return f"event {self.pk}"


class RefusedCall(models.Model):
    """How often a webhook call was refused, per day and reason. Their bodies are not kept."""

    endpoint = models.CharField(max_length=60, help_text="The connection's slug, or sms.")
    day = models.DateField()
    reason = models.CharField(max_length=60)
    count = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("endpoint", "day", "reason"), name="refused_call_once"),)

    def __str__(self) -> str:
        return f"{self.count} x {self.reason} at {self.endpoint}"


class ApiCall(models.Model):
    """One call to an EHR or carrier: no token, no body, no query with patient data."""

    connection = models.ForeignKey(
        Connection, null=True, blank=True, on_delete=models.CASCADE, related_name="api_calls"
    )
    system = models.CharField(max_length=20, help_text="ehr, sms or email.")
    at = models.DateTimeField()
    actor = models.CharField(max_length=150)
    method = models.CharField(max_length=10)
    resource = models.CharField(max_length=120, help_text="Path without its query, such as Appointment/123.")
    status = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Empty: no answer.")
    duration_ms = models.PositiveIntegerField()
    result = models.CharField(max_length=60, help_text="ok, or the name of the error.")
    correlation_id = models.CharField(max_length=32, blank=True)
    writeback = models.ForeignKey(
        "scheduling.Writeback", null=True, blank=True, on_delete=models.SET_NULL, related_name="api_calls"
    )

    class Meta:
        verbose_name = "API call"
        indexes = (models.Index(fields=("connection", "at"), name="api_call_by_time"),)

    def __str__(self) -> str:
        return f"{self.method} {self.pk}"


class CarrierState(models.Model):
    """How a messaging channel fares, and how far its inbound messages have been read. One row per channel."""

    channel = models.CharField(max_length=10, unique=True, help_text="sms or email.")
    last_success_at = models.DateTimeField(null=True, blank=True)
    failing_since = models.DateTimeField(null=True, blank=True)
    quiet_until = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Nothing is handed over before this: the carrier asked for patience, or is down.",
    )
    inbound_seen_at = models.DateTimeField(
        null=True, blank=True, help_text="Inbound messages up to this time have been fetched from the carrier."
    )
    inbound_due_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=60, blank=True)

    def __str__(self) -> str:
        return f"carrier of {self.channel}"


class Heartbeat(models.Model):
    """When a periodic job last ran; a late one is noticed by those that still run."""

    name = models.CharField(max_length=40, unique=True)
    at = models.DateTimeField()
    late_by_ms = models.PositiveIntegerField(default=0, help_text="How late the last run was.")

    def __str__(self) -> str:
        return self.name


class AlertContact(models.Model):
    """Somebody who hears of technical trouble by name. Without any, everybody on the staff with an e-mail does."""

    name = models.CharField(max_length=120)
    email = models.EmailField(blank=True)
    phone = models.CharField(max_length=40, blank=True, help_text="For texts; with the country's code.")
    active = models.BooleanField(default=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=~Q(email="") | ~Q(phone=""), name="alert_contact_can_be_reached"),
        )

    def __str__(self) -> str:
        return self.name


class StaffAlert(models.Model):
    """An e-mail to staff about a work item that cannot wait until somebody looks: at most one per item."""

    class Status(models.TextChoices):
        WAITING = "waiting", "waiting to send"
        SENT = "sent", "sent"
        DEAD = "dead", "could not be sent"

    work_item = models.OneToOneField("scheduling.WorkItem", on_delete=models.CASCADE, related_name="alert")
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField()
    recipients = models.PositiveSmallIntegerField(default=0, help_text="How many addresses it went to.")
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = (models.Index(fields=("due_at",), condition=Q(status="waiting"), name="staff_alert_due"),)

    def __str__(self) -> str:
        return f"alert about work item {self.work_item_id}"
