"""One worker's try at one writeback, from its lease to its outcome."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.utils import timezone

from integrations import outcomes
from integrations.ehr.gateway import Gateway, connect
from scheduling import families, mirror, registrations, writebacks
from scheduling.models import ExternalId, Writeback
from scheduling.story import tell

if TYPE_CHECKING:
    from integrations.models import Connection

#: The total deadline of a call to an EHR: after it, ours is no longer under way.
CALL_SECONDS = 15


class Attempt:
    """What a try knows: the row, whether an earlier or this call may have had an effect, and the open gateway."""

    connection: Connection

    def __init__(self, row: Writeback) -> None:
        self.row = row
        #: Which try it is; another worker's has another number.
        self.number = row.attempts
        self.sent_before: datetime | None = row.sent_at
        self.may_have_worked = row.sent_at is not None
        #: When the last question about the appointment began, by our clock.
        self.asked_at = timezone.now()
        self._gateway: Gateway | None = None

    @property
    def gateway(self) -> Gateway:
        """The connection to the EHR, opened at first use."""
        if self._gateway is None:
            self._gateway = connect(self.connection, writeback=self.row)
        return self._gateway

    @property
    def is_too_late(self) -> bool:
        """Whether the row's deadline is over: nothing is written after that."""
        return timezone.now() >= self.row.deadline_at

    @property
    def settled_at(self) -> datetime:
        """From when on the absence of our write in the EHR proves that it had no effect."""
        sent = self.row.sent_at or timezone.now()
        return sent + timedelta(seconds=CALL_SECONDS + self.connection.settle_seconds)

    def about_to_send(self, summary: str) -> None:
        """Commit that the next call may have an effect; raises when another worker has the row by now."""
        if not writebacks.mark_sent(self.row):
            raise outcomes.SomebodyElseHasIt
        self.may_have_worked = True
        tell(self.row.opening, "writeback.sent", summary, writeback_id=self.row.pk, attempt=self.row.attempts)

    def had_no_effect(self) -> None:
        """The EHR answered the call with a refusal: it is as if it had not been made."""
        self.may_have_worked = self.sent_before is not None

    def keep(self) -> None:
        """Hold the row for a further call; raises when another worker has it by now."""
        if not writebacks.renew(self.row):
            raise outcomes.SomebodyElseHasIt

    def external(self, kind: ExternalId.Kind, pk: int | None) -> str:
        """Return what the EHR calls one of our rows, empty for none; raises UnknownReference."""
        if pk is None:
            return ""
        if kind == ExternalId.Kind.PATIENT:
            return registrations.name_at(self.row.source, pk)
        return mirror.external_value(self.row.source, kind, pk)

    def names_of_retired_records(self) -> list[str]:
        """Return what the EHR calls the records that the patient's has replaced; mostly none."""
        patient_id = self.row.appointment.patient_id
        if patient_id is None:
            return []
        retired = families.records_of_one(patient_id) - {patient_id}
        names = ExternalId.objects.filter(source=self.row.source, kind=ExternalId.Kind.PATIENT, object_id__in=retired)
        return list(names.order_by("pk").values_list("value", flat=True)) if retired else []
