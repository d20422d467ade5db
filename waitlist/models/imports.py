"""A spreadsheet on its way to the list: the file, what its columns mean, and each of its rows."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from audit.fields import BlindIndexField, EncryptedBinaryField, EncryptedJSONField, EncryptedTextField
from scheduling.models import ScopedModel


class ImportBatch(ScopedModel):
    """One file somebody uploaded. Two hops run in a worker, each driven by ``due_at`` and a lease: *checking* its
    rows and *adding* those that are ready, the latter in one transaction.

    The file and its rows are deleted at ``forget_at``; what remains says who added how many, when, and by which
    statement about consent.
    """

    location_scope = "location"

    class Status(models.TextChoices):
        COLUMNS = "columns", "columns to confirm"
        CHECKING = "checking", "rows are being checked"
        PREVIEW = "preview", "not added yet"
        ADDING = "adding", "being added"
        ADDED = "added", "added"
        UNDONE = "undone", "undone"
        DISCARDED = "discarded", "discarded"

    class Consent(models.TextChoices):
        UNSAID = "", "not said yet"
        FORM = "form", "A signed form"
        SPOKEN = "spoken", "They said so to staff"
        EHR = "ehr", "The EHR has it on record"
        NONE = "none", "There is none"

    location = models.ForeignKey(
        "scheduling.Location", null=True, blank=True, on_delete=models.SET_NULL, related_name="import_batches"
    )
    appointment_type = models.ForeignKey(
        "scheduling.AppointmentType", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    status = models.CharField(max_length=10, choices=Status, default=Status.COLUMNS)
    file_name = EncryptedTextField(blank=True)
    content = EncryptedBinaryField(null=True, help_text="The file as uploaded; empty once it was deleted.")
    sheet_name = EncryptedTextField(blank=True)
    sheets = EncryptedJSONField(default=list, help_text="[name, whether hidden] of the workbook's sheets with rows.")
    heading_row = models.PositiveIntegerField(default=0, help_text="0: the file has no headings.")
    headings = EncryptedJSONField(default=list)
    fields = models.JSONField(
        default=list, help_text="What each column means, by waitlist.importing.columns; '' skips."
    )
    day_first = models.JSONField(default=list, help_text="Columns whose dates are day/month/year.")
    type_words = EncryptedJSONField(default=dict, help_text="The file's words for kinds of visit, to our type's key.")
    consent = models.CharField(max_length=10, choices=Consent, default=Consent.UNSAID, blank=True)
    consent_form = models.CharField(max_length=40, blank=True, help_text="Which form or script.")
    consent_on = models.DateField(null=True, blank=True, help_text="When it was signed or said.")
    emails_agreed = models.BooleanField(default=False, help_text="The statement covers e-mail too.")
    row_count = models.PositiveIntegerField(default=0)
    checked_count = models.PositiveIntegerField(default=0)
    added_count = models.PositiveIntegerField(default=0)
    note = models.CharField(max_length=300, blank=True, help_text="What staff are told about the last hop.")
    due_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    forget_at = models.DateTimeField(null=True, blank=True)
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="import_batches"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    added_at = models.DateTimeField(null=True, blank=True)
    added_by = models.CharField(max_length=150, blank=True)

    class Meta:
        verbose_name = "imported list"
        indexes = (models.Index(fields=("due_at",), condition=Q(due_at__isnull=False), name="import_due"),)

    def __str__(self) -> str:
        return f"imported list {self.pk}"


class ImportRow(models.Model):
    """One row of the file. ``cells`` are as read, ``corrections`` what staff wrote instead, by field."""

    class Verdict(models.TextChoices):
        NEW = "new", "not checked yet"
        READY = "ready", "ready"
        DUPLICATE = "duplicate", "duplicate"
        LOOK = "look", "needs a look"
        ERROR = "error", "error"
        LEFT_OUT = "left_out", "left out"
        ADDED = "added", "added"

    class Choice(models.TextChoices):
        OPEN = "", "not decided"
        SAME = "same", "same person"
        DIFFERENT = "different", "another person"

    batch = models.ForeignKey(ImportBatch, on_delete=models.CASCADE, related_name="rows")
    number = models.PositiveIntegerField(help_text="The row's number in the file.")
    cells = EncryptedJSONField(default=list)
    unread = models.JSONField(default=list, help_text="Columns whose formula has no stored value.")
    corrections = EncryptedJSONField(default=dict)
    verdict = models.CharField(max_length=10, choices=Verdict, default=Verdict.NEW)
    problems = EncryptedJSONField(default=list, help_text="[field, what is wrong and what to write instead].")
    person_index = BlindIndexField(max_length=64, blank=True, db_index=True)
    candidates = models.JSONField(default=list, help_text="Keys of patients who may be this person.")
    choice = models.CharField(max_length=10, choices=Choice, default=Choice.OPEN, blank=True)
    patient = models.ForeignKey(
        "scheduling.Patient", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    made_patient = models.BooleanField(default=False, help_text="The patient was not known and was created from this.")
    entry = models.ForeignKey(
        "waitlist.WaitlistEntry", null=True, blank=True, on_delete=models.SET_NULL, related_name="import_rows"
    )

    class Meta:
        ordering = ("number",)
        constraints = (models.UniqueConstraint(fields=("batch", "number"), name="import_row_once"),)
        indexes = (models.Index(fields=("batch", "verdict", "number"), name="import_row_by_verdict"),)

    def __str__(self) -> str:
        return f"row {self.number} of imported list {self.batch_id}"
