"""How far the initial load of a connection has come, as staff can watch it: kept on the connection, page by page."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone

from integrations.ehr.gateway import Kind
from integrations.models import Connection

#: The order in which things are loaded: first what others refer to.
ORDER: tuple[Kind, ...] = ("location", "provider", "patient", "appointment")


@dataclass(slots=True)
class KindProgress:
    """One kind of thing: how many were read, those that cannot be read among them, and of how many in all.

    ``total`` is what the EHR says there are; None where it does not say. ``unchanged`` were here already.
    """

    kind: Kind
    done: int = 0
    total: int | None = None
    unchanged: int = 0
    is_complete: bool = False

    @property
    def share(self) -> float | None:
        """From 0 to 1; None where nobody knows how many there are."""
        if self.is_complete:
            return 1.0
        return min(self.done / self.total, 1.0) if self.total else None


@dataclass(slots=True)
class LoadProgress:
    """A load: when it began and ended, by which error it ended early, and how far each kind has come."""

    began_at: datetime
    ended_at: datetime | None = None
    error: str = ""
    quarantined: int = 0
    unresolved: int = 0
    kinds: dict[str, KindProgress] = field(default_factory=dict)

    def of(self, kind: Kind) -> KindProgress:
        """Return the progress of a kind, from nothing on."""
        return self.kinds.setdefault(kind, KindProgress(kind))

    def stored(self) -> dict[str, Any]:
        """Return what is kept in the connection's ``load_progress``."""
        return {
            "began_at": self.began_at.isoformat(),
            "ended_at": self.ended_at.isoformat() if self.ended_at else None,
            "error": self.error,
            "quarantined": self.quarantined,
            "unresolved": self.unresolved,
            "kinds": [asdict(each) for each in self.kinds.values()],
        }

    def end(self, error: str = "") -> None:
        """Note that the load is over, and by which error if it is not complete."""
        self.ended_at, self.error = timezone.now(), error


def progress_of(connection: Connection) -> LoadProgress | None:
    """Return how far the last load of the connection has come; None when there never was one.

    A load without an end whose lease has run out was interrupted; it is simply started again.
    """
    kept = connection.load_progress
    if not kept:
        return None
    return LoadProgress(
        began_at=datetime.fromisoformat(kept["began_at"]),
        ended_at=datetime.fromisoformat(kept["ended_at"]) if kept["ended_at"] else None,
        error=kept["error"],
        quarantined=kept["quarantined"],
        unresolved=kept["unresolved"],
        kinds={each["kind"]: KindProgress(**each) for each in kept["kinds"]},
    )
