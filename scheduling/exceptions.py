"""What can go wrong in the calendar, by name."""

from __future__ import annotations


class SchedulingError(Exception):
    """Base of the calendar's own errors."""


class IllegalTransition(SchedulingError):
    """A state was asked to become one it never may."""

    def __init__(self, model: str, field: str, old: str, new: str) -> None:
        super().__init__(f"{model}.{field} may not go from {old} to {new}.")


class UnknownReference(SchedulingError):
    """An appointment names a patient, provider or location that is not mirrored yet; fetch it, then try again."""

    def __init__(self, kind: str, value: str) -> None:
        super().__init__(f"The {kind} the appointment refers to is not known here yet.")
        self.kind = kind
        self.value = value
