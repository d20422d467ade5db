"""The practice's calendar as rows."""

from scheduling.models import lookups  # noqa: F401 - registers ``among``
from scheduling.models.calendar import Appointment, Block, CancellationNote, Opening
from scheduling.models.coverage import Coverage
from scheduling.models.duplicates import PatientMerge, PatientReview
from scheduling.models.outbox import Writeback
from scheduling.models.patient_writes import PatientWrite
from scheduling.models.people import ContactPoint, Patient, PatientIdentifier, PatientSearchToken
from scheduling.models.practice import AppointmentType, Bookable, ClosedDay, Location, Plan, Practice, Provider
from scheduling.models.scope import LocationAccess, ScopedModel, ScopedQuerySet
from scheduling.models.sources import ExternalId, Source
from scheduling.models.story import TimelineEntry, WorkItem

__all__ = [
    "Appointment",
    "AppointmentType",
    "Block",
    "Bookable",
    "CancellationNote",
    "ClosedDay",
    "ContactPoint",
    "Coverage",
    "ExternalId",
    "Location",
    "LocationAccess",
    "Opening",
    "Patient",
    "PatientIdentifier",
    "PatientMerge",
    "PatientReview",
    "PatientSearchToken",
    "PatientWrite",
    "Plan",
    "Practice",
    "Provider",
    "ScopedModel",
    "ScopedQuerySet",
    "Source",
    "TimelineEntry",
    "WorkItem",
    "Writeback",
]
