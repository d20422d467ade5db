"""What is recorded about access, and the seals that show whether any of it was changed afterwards."""

from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.utils import timezone

from audit.context import ActorKind


class AppendOnlyError(Exception):
    """An audit row was to be changed or deleted. Nothing was done; audit rows are only ever added."""

    def __init__(self) -> None:
        super().__init__("Audit rows cannot be changed or deleted. Nothing was changed.")


class AppendOnlyQuerySet(models.QuerySet[Any]):
    """Refuses before the database does, with a plainer message."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError

    def delete(self) -> NoReturn:
        raise AppendOnlyError

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError


class AppendOnlyModel(models.Model):
    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnlyError
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError


class AccessRecord(AppendOnlyModel):
    """Somebody saw, searched, exported, sent or decided something. Holds ids and words of ours, never patient data.

    Field by field changes of rows are in django-auditlog's log, with the same correlation id.
    """

    class Action(models.TextChoices):
        VIEW = "view", "Viewed"
        LIST = "list", "Listed"
        SEARCH = "search", "Searched"
        EXPORT = "export", "Exported"
        IMPORT = "import", "Imported"
        CREATE = "create", "Created"
        CHANGE = "change", "Changed"
        DELETE = "delete", "Deleted"
        LOGIN = "login", "Signed in"
        LOGOUT = "logout", "Signed out"
        DENIED = "denied", "Access denied"
        SEND = "send", "Sent a message"
        CALL = "call", "Called another system"
        DECIDE = "decide", "Decided"
        CLAIM = "claim", "Claimed a time"
        PAUSE = "pause", "Paused"
        RESUME = "resume", "Resumed"
        ROTATE = "rotate", "Changed encryption keys"
        VERIFY = "verify", "Verified the audit trail"

    class Result(models.TextChoices):
        DONE = "done", "Done"
        REFUSED = "refused", "Refused"
        FAILED = "failed", "Failed"

    at = models.DateTimeField(default=timezone.now, db_index=True)
    actor_kind = models.CharField(max_length=16, choices=ActorKind)
    actor_name = models.CharField(max_length=150)
    # Protected: a person who left traces is deactivated, not deleted.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    action = models.CharField(max_length=16, choices=Action)
    subject_kind = models.CharField(max_length=64, blank=True, help_text="Like scheduling.patient.")
    subject_id = models.CharField(max_length=64, blank=True)
    location_id = models.BigIntegerField(null=True, blank=True)
    source_address = models.GenericIPAddressField(null=True, blank=True)
    result = models.CharField(max_length=16, choices=Result, default=Result.DONE)
    reason = models.CharField(max_length=200, blank=True)
    correlation_id = models.CharField(max_length=32, blank=True, db_index=True)
    detail = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["subject_kind", "subject_id", "at"], name="audit_access_subject"),
            models.Index(fields=["action", "at"], name="audit_access_action"),
        ]

    def __str__(self) -> str:
        subject = f"{self.subject_kind} {self.subject_id}".strip()
        return f"{self.actor_name}: {self.action} {subject}".strip()


class Stream(models.TextChoices):
    """The tables that are sealed, each with a chain of its own."""

    ACCESS = "access", "Access records"
    CHANGE = "change", "Changes of rows"


class Seal(AppendOnlyModel):
    """One batch of committed audit rows, chained to the batch before it.

    ``digest`` is an HMAC over everything in the seal, ``previous_digest`` included. Its key is derived from
    ``BLIND_INDEX_KEY``, so that access to the database alone does not suffice to forge a chain.
    """

    stream = models.CharField(max_length=16, choices=Stream)
    number = models.BigIntegerField(help_text="1, 2, 3 … within the stream, without gaps.")
    is_late = models.BooleanField(
        default=False, help_text="Covers rows that were committed after later ids had been sealed."
    )
    first_id = models.BigIntegerField()
    last_id = models.BigIntegerField()
    count = models.PositiveIntegerField()
    id_ranges = models.JSONField(help_text="The ids covered, as [first, last] pairs in ascending order.")
    columns = models.JSONField(help_text="The columns covered, in the order of the digests.")
    row_digests = models.BinaryField(help_text="32 bytes for each row, in ascending order of ids.")
    digest = models.CharField(max_length=64)
    previous_digest = models.CharField(max_length=64, blank=True)
    sealed_at = models.DateTimeField()

    class Meta:
        ordering = ["stream", "-number"]
        constraints = [
            # Two sealers at once: the second one's batch is refused, and taken up again later.
            models.UniqueConstraint(fields=["stream", "number"], name="audit_seal_stream_number"),
            models.CheckConstraint(
                condition=models.Q(first_id__lte=models.F("last_id")) & models.Q(count__gte=1),
                name="audit_seal_ids_in_order",
            ),
        ]
        indexes = [models.Index(fields=["stream", "sealed_at"], name="audit_seal_recent")]

    def __str__(self) -> str:
        return f"{self.stream} {self.number}: {self.count} rows"
