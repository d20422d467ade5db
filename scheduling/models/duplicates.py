"""Records that may be one person, and records that became one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.db import models
from django.db.models import Q

from audit.fields import EncryptedJSONField
from scheduling.models.people import Patient
from scheduling.models.scope import ScopedModel, ScopedQuerySet

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser


class BothSidesQuerySet(ScopedQuerySet):
    """Rows about two patients: shown to those who may see both."""

    def for_user(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """Return the rows whose two sides are both at locations ``user`` has access to."""
        first, second = self.model.sides
        seen = Patient.objects.for_user(user).values("pk")
        both = Q(**{f"{first}__in": seen}) & (Q(**{f"{second}__in": seen}) | Q(**{f"{second}__isnull": True}))
        return super().for_user(user).filter(both)


class PatientReview(ScopedModel):
    """Two descriptions that may be one person: a patient, and another one or somebody described elsewhere.

    ``described`` is :func:`scheduling.reviews.written` of a person who is no patient here yet, found in ``origin``;
    ``subject_kind`` and ``subject_id`` name the row that waits for the answer. At most one review per ``dedupe_key``
    ever: a pair that was decided is not asked about again.
    """

    location_scope = "patient__locations"
    shared_when_unplaced = True
    sides: ClassVar[tuple[str, str]] = ("patient", "other")

    class State(models.TextChoices):
        OPEN = "open", "needs you"
        LATER = "later", "later"
        SAME = "same", "the same person"
        DIFFERENT = "different", "two people"

    patient = models.ForeignKey("scheduling.Patient", on_delete=models.CASCADE, related_name="reviews")
    other = models.ForeignKey(
        "scheduling.Patient", null=True, blank=True, on_delete=models.CASCADE, related_name="reviews_as_other"
    )
    described = EncryptedJSONField(null=True, blank=True)
    origin = models.CharField(max_length=120, blank=True, help_text="Where the described person stands; no name.")
    subject_kind = models.CharField(max_length=60, blank=True)
    subject_id = models.BigIntegerField(null=True, blank=True)
    reasons = models.JSONField(default=list, help_text="Codes of scheduling.matching.Reason.")
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    dedupe_key = models.CharField(max_length=120, unique=True)
    remind_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.CharField(max_length=150, blank=True)

    objects: ClassVar[Any] = BothSidesQuerySet.as_manager()

    class Meta:
        verbose_name = "patient review"
        constraints = (
            models.CheckConstraint(
                condition=Q(other__isnull=False) | Q(described__isnull=False), name="review_has_two_sides"
            ),
        )
        indexes = (models.Index(fields=("state", "remind_at"), name="patient_review_queue"),)

    def __str__(self) -> str:
        return f"patient review {self.pk}"


class PatientMerge(ScopedModel):
    """One record replaces another, and since when; undone, it stays as history. At most one holds per record.

    ``moved`` is what was taken over from the retired record, so that an undo gives back exactly that: waitlist
    entries, and the patient who became *restricted* or *deceased* by it, ``[{"restricted": 7}, {"entry": 12}]``.
    """

    location_scope = "kept__locations"
    shared_when_unplaced = True
    sides: ClassVar[tuple[str, str]] = ("kept", "retired")

    class ToldBy(models.TextChoices):
        LINK = "link", "a link in the EHR"
        MESSAGE = "message", "a merge message of the EHR"
        STAFF = "staff", "staff"

    retired = models.ForeignKey("scheduling.Patient", on_delete=models.CASCADE, related_name="merges")
    kept = models.ForeignKey("scheduling.Patient", on_delete=models.CASCADE, related_name="merges_into")
    told_by = models.CharField(max_length=10, choices=ToldBy)
    at = models.DateTimeField()
    by = models.CharField(max_length=150, blank=True)
    moved = models.JSONField(default=list, blank=True)
    taken_over_at = models.DateTimeField(null=True, blank=True)
    undone_at = models.DateTimeField(null=True, blank=True)
    undone_by = models.CharField(max_length=150, blank=True)

    objects: ClassVar[Any] = BothSidesQuerySet.as_manager()

    class Meta:
        verbose_name = "merge of patient records"
        verbose_name_plural = "merges of patient records"
        constraints = (
            models.UniqueConstraint(
                fields=("retired",), condition=Q(undone_at__isnull=True), name="one_merge_holds_per_record"
            ),
            models.CheckConstraint(condition=~Q(retired=models.F("kept")), name="merge_of_two_records"),
        )

    def __str__(self) -> str:
        return f"merge {self.pk}"
