"""An HL7 v2 message taken apart: its segments, their fields, and what each part says."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import hl7

from integrations.ehr.fhir.elements import Unreadable
from integrations.ehr.hl7v2.paths import DELETED, value_in

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """One repetition of a field. Nothing said of a component is None, a deleted one is empty text."""

    read: Any
    raw: Any

    def said(self, component: int | None = 1, sub: int | None = None) -> str | None:
        """Return what stands in a component, or in a part of it."""
        return value_in(self.read, self.raw, component, sub)

    def any_of(self, component: int) -> frozenset[str]:
        """Return everything that the parts of a component say: a namespace, a universal id."""
        return frozenset(found for sub in (1, 2) if (found := self.said(component, sub)))

    @property
    def is_deleted(self) -> bool:
        """Whether the sender says that there is no such thing any more."""
        return str(self.raw) == DELETED


@dataclass(frozen=True, slots=True)
class Segment:
    """One line of a message."""

    read: Any
    raw: Any

    @property
    def name(self) -> str:
        """The three letters it begins with."""
        return str(self.raw[0])

    def repetitions(self, field: int) -> list[Part]:
        """Return the repetitions of a field, the empty ones in their place."""
        if field >= len(self.raw):
            return []
        held = self.raw[field]
        return [Part(self.read, each) for each in (held if isinstance(held, hl7.Field) else [held])]

    def parts(self, field: int) -> list[Part]:
        """Return the repetitions of a field that say anything."""
        return [each for each in self.repetitions(field) if str(each.raw).strip()]

    def said(self, field: int, component: int | None = 1, sub: int | None = None) -> str | None:
        """Return what the first repetition says: None for nothing, empty text for deleted."""
        parts = self.parts(field)
        return parts[0].said(component, sub) if parts else None


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a kind ("ADT") about an event ("A08")."""

    read: Any
    kind: str
    trigger: str

    @classmethod
    def of(cls, text: str, kind: str, trigger: str) -> Message:
        """Take a message apart; raises Unreadable."""
        try:
            return cls(hl7.parse(text), kind, trigger)
        except Exception as error:
            # The parser raises whatever its state runs into. Staff see the message; its text may quote a patient.
            logger.info("an HL7 v2 message could not be parsed: %s", type(error).__name__)
            raise Unreadable("it is no HL7 v2 message that can be read") from None

    def all(self, *names: str) -> Iterator[Segment]:
        """Yield the segments of these names, in their order; all of them where none is named."""
        for raw in self.read:
            if not names or str(raw[0]) in names:
                yield Segment(self.read, raw)

    def first(self, name: str) -> Segment | None:
        """Return the first segment of a name, None when there is none."""
        return next(self.all(name), None)

    def of_segments(self, segments: Iterable[Segment]) -> Message:
        """Return a message of the same kind that has only these segments."""
        return replace(self, read=self.read.create_message([each.raw for each in segments]))
