"""What was asked of outside systems, how they fare, and who hears of trouble."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from integrations.models.connections import Connection


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
    failures = models.PositiveIntegerField(
        default=0, help_text="Calls in a row that it did not answer, or answered by an error of its own."
    )
    down_since = models.DateTimeField(
        null=True, blank=True, help_text="It is known to be down since then: offers go another way, or by a call."
    )
    message_failed_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When it last failed at a message, and took none since: its lists may well work meanwhile.",
    )
    refused_since = models.DateTimeField(
        null=True,
        blank=True,
        help_text="The carrier has not accepted our account or sender since then: messages go another way.",
    )
    probe_at = models.DateTimeField(
        null=True, blank=True, help_text="When one message is tried again although we were refused, or it is down."
    )
    lists_refused = models.BooleanField(
        default=False, help_text="It refuses us its lists as well: once it gives one, our account is accepted again."
    )
    inbound_seen_at = models.DateTimeField(
        null=True, blank=True, help_text="Inbound messages up to this time have been fetched from the carrier."
    )
    inbound_due_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=60, blank=True)
    next_at = models.DateTimeField(
        null=True, blank=True, help_text="When the next message may leave, where their number per second is limited."
    )

    def __str__(self) -> str:
        return f"carrier of {self.channel}"


class SendingLimit(models.Model):
    """How fast messages may leave on a channel, and how many may go to one address.

    Without a row: these defaults, and for texts the rate that the carrier is known to take.
    """

    class Channel(models.TextChoices):
        SMS = "sms", "text"
        EMAIL = "email", "e-mail"

    channel = models.CharField(max_length=10, unique=True, choices=Channel)
    per_second = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Segments of texts per second that your carrier sends from your number, by your contract with it: 1 "
        "for an ordinary US number unless your 10DLC campaign has more, 3 for a toll-free one, 100 for a short code. "
        "A text of up to 160 letters is one segment, a longer one is counted as the carrier counts it. With Twilio "
        "those hold by themselves while nothing is entered here. We stay under it; confirmations and answers go "
        "before offers. For e-mail: messages per second. Empty: as fast as the carrier takes them, and slower when it "
        "asks for that.",
    )
    per_address_minute = models.PositiveSmallIntegerField(
        "to one number or address per minute",
        default=6,
        validators=[MinValueValidator(1)],
        help_text="What is more waits until the minute is over. An opt-out receipt never waits.",
    )
    per_address_hour = models.PositiveSmallIntegerField(
        "to one number or address per hour",
        default=30,
        validators=[MinValueValidator(1)],
        help_text="Several patients may share a phone; a machine that answers our texts must not keep us writing.",
    )

    def __str__(self) -> str:
        return f"limits of {self.get_channel_display()}s"


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
