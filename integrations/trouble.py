"""What the watch finds wrong, in the words of the work item it becomes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong now. ``key`` tells it apart; the two sentences are for the front desk."""

    key: str
    kind: str
    title: str
    advice: str
    red: bool = False
