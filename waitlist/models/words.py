"""What a practice wrote in place of the words we come with, and what it states before it goes live."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from waitlist.models.outreach import Channel


class MessageTemplate(models.Model):
    """One version of a practice's own words for an event, a language and a channel. Versions are kept for good.

    ``event`` is a key of :data:`waitlist.events.EVENTS`. Where no version is active, the words we come with are used.
    """

    language = models.CharField(max_length=12)
    event = models.CharField(max_length=40)
    channel = models.CharField(max_length=10, choices=Channel)
    edition = models.PositiveIntegerField()
    subject = models.CharField(max_length=150, blank=True)
    text = models.TextField(max_length=1000)
    active = models.BooleanField(default=True)
    edited_by = models.CharField(max_length=150)
    edited_at = models.DateTimeField()

    class Meta:
        ordering = ("event", "channel", "language", "-edition")
        constraints = (
            models.UniqueConstraint(fields=("language", "event", "channel", "edition"), name="words_edition_once"),
            models.UniqueConstraint(
                fields=("language", "event", "channel"), condition=Q(active=True), name="words_one_active"
            ),
        )

    def __str__(self) -> str:
        return f"{self.event} {self.channel} {self.language} version {self.edition}"


class LaunchStatement(models.Model):
    """Something only a person can know before a practice goes live, stated by name. The newest of a topic counts.

    ``about`` is the sending number it was stated of: for another number it has to be stated again.
    """

    class Topic(models.TextChoices):
        SENDER = "sender", "the sender is registered"
        CALLS = "calls", "calls to the sender reach the practice"

    class Answer(models.TextChoices):
        LONG_CODE = "10dlc", "10DLC campaign"
        TOLL_FREE = "toll_free", "toll-free verification"
        REACHED = "reached", "a call reached the practice"
        NOT_YET = "not_yet", "not yet"

    topic = models.CharField(max_length=10, choices=Topic)
    answer = models.CharField(max_length=10, choices=Answer)
    reference = models.CharField(max_length=60, blank=True, help_text="The registration's id at the carrier.")
    about = models.CharField(max_length=60, blank=True)
    done_on = models.DateField(help_text="When it was registered, or the call was made.")
    stated_by = models.CharField(max_length=150)
    stated_at = models.DateTimeField()

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"launch statement {self.pk}"
