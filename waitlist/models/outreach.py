"""What patients are told, what they answer, and what they agreed to."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from audit.fields import EncryptedTextField
from scheduling.models import ScopedModel


class Channel(models.TextChoices):
    SMS = "sms", "text"
    EMAIL = "email", "e-mail"


class ConsentRecord(ScopedModel):
    """One line of the consent ledger; nothing is ever changed in it. The newest line for an address decides.

    A grant is for one patient at one address; a revocation binds the address, whoever shares it. What was stated in
    error ends the grant of its patient there alone: nobody at the address said anything.
    """

    location_scope = "patient__locations"
    shared_when_unplaced = True

    class Action(models.TextChoices):
        GRANTED = "granted", "given"
        REVOKED = "revoked", "taken back"
        WITHDRAWN = "withdrawn", "stated in error"

    class Source(models.TextChoices):
        FORM = "form", "paper or web form"
        SPOKEN = "spoken", "spoken, to staff"
        EHR = "ehr", "the EHR"
        REPLY = "reply", "the patient's own message"
        STAFF = "staff", "recorded by staff"
        DEMO = "demo", "made up for the demo"

    channel = models.CharField(max_length=10, choices=Channel)
    address_index = models.CharField(max_length=64, db_index=True)
    patient = models.ForeignKey(
        "scheduling.Patient", null=True, blank=True, on_delete=models.PROTECT, related_name="consent_records"
    )
    action = models.CharField(max_length=10, choices=Action)
    wording_version = models.CharField(max_length=40, blank=True)
    statement = models.CharField(
        max_length=200, blank=True, help_text="What somebody said of where it came from: which list, form and date."
    )
    source = models.CharField(max_length=10, choices=Source)
    recorded_by = models.CharField(max_length=150)
    at = models.DateTimeField()

    class Meta:
        indexes = (models.Index(fields=("channel", "address_index", "id"), name="consent_by_address"),)

    def __str__(self) -> str:
        return f"consent record {self.pk}"


class Message(ScopedModel):
    """Something a person must be told: the row is there before anything is sent, and is sent once.

    ``initiated`` marks a message that we start: it needs consent and waits for the end of quiet hours. Answers to
    a patient's own message go at once. ``dedupe_key`` keeps one event from being told twice.
    """

    location_scope = "location"
    shared_when_unplaced = True

    class Kind(models.TextChoices):
        OFFER = "offer", "offer"
        RECEIVED = "received", "received, not yet confirmed"
        CONFIRMED = "confirmed", "confirmed"
        FILLED = "filled", "filled"
        REFUSED = "refused", "could not be booked"
        WITHDRAWN = "withdrawn", "withdrawn"
        STILL_WANTED = "still_wanted", "still want this?"
        STOP_RECEIPT = "stop_receipt", "opt-out receipt"
        HELP = "help", "help"
        QUESTION = "question", "question back"
        ANSWER = "answer", "answer"
        URGENT = "urgent", "answer to urgent words"
        STAFF = "staff", "answer by staff"
        CANCELLING = "cancelling", "cancellation received"
        CANCELLED = "cancelled", "cancelled"
        NOT_CANCELLED = "not_cancelled", "could not be cancelled"
        CONTACT_CODE = "contact_code", "code for a new contact"
        CONTACT_CHANGED = "contact_changed", "contact details changed"

    class Status(models.TextChoices):
        WAITING = "waiting", "waiting to send"
        SENDING = "sending", "sending"
        UNKNOWN = "unknown", "unknown"
        SENT = "sent", "sent"
        DELIVERED = "delivered", "delivered"
        FAILED = "failed", "failed"
        SUPPRESSED = "suppressed", "not sent"
        DEAD = "dead", "dead letter"

    #: They leave whatever is known of the address or the person: the receipt of an opt-out, and "call 911".
    ALWAYS_LEAVE = (Kind.STOP_RECEIPT, Kind.URGENT)

    kind = models.CharField(max_length=20, choices=Kind)
    channel = models.CharField(max_length=10, choices=Channel)
    initiated = models.BooleanField(default=True)
    patient = models.ForeignKey(
        "scheduling.Patient", null=True, blank=True, on_delete=models.PROTECT, related_name="messages"
    )
    contact_point = models.ForeignKey(
        "scheduling.ContactPoint", null=True, blank=True, on_delete=models.SET_NULL, related_name="messages"
    )
    offer = models.ForeignKey(
        "waitlist.Offer", null=True, blank=True, on_delete=models.SET_NULL, related_name="messages"
    )
    opening = models.ForeignKey(
        "scheduling.Opening", null=True, blank=True, on_delete=models.SET_NULL, related_name="messages"
    )
    location = models.ForeignKey(
        "scheduling.Location", null=True, blank=True, on_delete=models.SET_NULL, related_name="messages"
    )
    address = EncryptedTextField()
    address_index = models.CharField(max_length=64, db_index=True)
    language = models.CharField(max_length=12, default="en")
    subject = EncryptedTextField(blank=True)
    body = EncryptedTextField()
    attachment = EncryptedTextField(blank=True, help_text="An iCalendar file, for e-mail.")
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    dedupe_key = models.CharField(max_length=120, unique=True)
    due_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Pointless after this: not sent any more.")
    lease_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    carrier_id = models.CharField(max_length=120, blank=True)
    error_code = models.CharField(max_length=60, blank=True)
    correlation_id = models.CharField(max_length=32, blank=True)
    test_by = models.CharField(
        max_length=150, blank=True, help_text="Who sent this to themselves to see how it arrives; empty for real ones."
    )
    written_by = models.CharField(
        max_length=150, blank=True, help_text="Who of the staff wrote these words; empty for those of the machine."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = (
            models.Index(
                fields=("due_at",), condition=Q(status__in=("waiting", "sending", "unknown")), name="message_due"
            ),
            models.Index(fields=("carrier_id",), name="message_by_carrier_id"),
        )

    def __str__(self) -> str:
        return f"message {self.pk}"


class Reply(ScopedModel):
    """A message a patient sent us, stored before it is understood."""

    location_scope = "location"
    shared_when_unplaced = True

    class Outcome(models.TextChoices):
        NEW = "new", "not read yet"
        CLAIMED = "claimed", "yes"
        TOO_LATE = "too_late", "yes, too late"
        DECLINED = "declined", "no"
        OPTED_OUT = "opted_out", "stop"
        OPTED_IN = "opted_in", "start"
        HELPED = "helped", "help"
        ASKED = "asked", "asked back"
        URGENT = "urgent", "urgent words"
        WRONG_PERSON = "wrong_person", "wrong person"
        NOTED = "noted", "thanks, nothing to do"
        STAFF = "staff", "for staff"

    channel = models.CharField(max_length=10, choices=Channel, default=Channel.SMS)
    carrier_id = models.CharField(max_length=120, unique=True)
    address = EncryptedTextField()
    address_index = models.CharField(max_length=64, db_index=True)
    body = EncryptedTextField(blank=True)
    media_count = models.PositiveSmallIntegerField(default=0)
    outcome = models.CharField(max_length=20, choices=Outcome, default=Outcome.NEW)
    patient = models.ForeignKey(
        "scheduling.Patient", null=True, blank=True, on_delete=models.PROTECT, related_name="replies"
    )
    offer = models.ForeignKey(
        "waitlist.Offer", null=True, blank=True, on_delete=models.SET_NULL, related_name="replies"
    )
    location = models.ForeignKey(
        "scheduling.Location", null=True, blank=True, on_delete=models.SET_NULL, related_name="replies"
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    received_at = models.DateTimeField()
    handled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "replies"
        indexes = (models.Index(fields=("received_at",), condition=Q(outcome="new"), name="reply_new"),)

    def __str__(self) -> str:
        return f"reply {self.pk}"
