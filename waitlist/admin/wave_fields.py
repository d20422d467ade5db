"""Waves as rows to fill in: by the time that is left, how many offers at once and how long until the next ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string

from waitlist.pacing import DEFAULT_WAVES, WaveRule, wave_rules

#: A column's key in the stored row, its heading, and what is asked for in it.
COLUMNS: Final = (
    (
        "lead_hours",
        "Hours left, fewer than",
        "Write a number of hours above 0, or leave it empty for every longer time.",
    ),
    ("size", "Offers at once", "Write how many offers, a whole number from 1 to 100."),
    ("gap_minutes", "Minutes until the next", "Write how many minutes later the next ones follow, above 0."),
)
SPARE: Final = 2
MOST: Final = 12
MOST_HOURS, MOST_OFFERS, MOST_MINUTES = 8_760, 100, 1_440
HELP: Final = (
    "The row for the time that is left holds; one without hours holds for every longer time. An emptied row is taken "
    "out, empty ones can be filled, and more appear when you save. All rows empty: the usual numbers again."
)
Row = dict[str, str]


class WavesWidget(forms.Widget):
    """A table with empty rows to spare, so that rows are added and taken out without JavaScript."""

    def __init__(self, attrs: Mapping[str, Any] | None = None) -> None:
        super().__init__(dict(attrs or {}))
        #: What is wrong, by row and column.
        self.problems: dict[tuple[int, str], str] = {}

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> list[Row]:
        return [
            {key: str(data.get(f"{name}-{number}-{key}", "")).strip() for key, _, _ in COLUMNS}
            for number in range(MOST)
        ]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return False

    def id_for_label(self, id_: str) -> str:
        return f"{id_}-0-lead_hours" if id_ else ""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> Any:
        rows = shown(value)
        lines = [
            (number + 1, [self._cell(name, number, row, key, heading) for key, heading, _ in COLUMNS])
            for number, row in enumerate(rows)
        ]
        context = {"headings": [heading for _, heading, _ in COLUMNS], "lines": lines}
        return render_to_string("admin/waitlist/outreachpolicy/waves.html", context)

    def _cell(self, name: str, number: int, row: Row, key: str, heading: str) -> dict[str, Any]:
        return {
            "name": f"{name}-{number}-{key}",
            "id": f"id_{name}-{number}-{key}",
            "label": heading,
            "text": row.get(key, ""),
            "problem": self.problems.get((number, key), ""),
        }


class WavesField(forms.Field):
    """Reads the rows into what :func:`waitlist.pacing.wave_rules` takes; [] where they are the usual numbers."""

    widget = WavesWidget

    def clean(self, value: Any) -> list[dict[str, float]]:
        rows = value or []
        problems: dict[tuple[int, str], str] = {}
        stored = [_read(number, row, problems) for number, row in enumerate(rows) if any(row.values())]
        _refuse_doubles(rows, problems)
        self.widget.problems = problems
        if problems:
            raise ValidationError("Nothing was saved. Correct the rows that are marked.")
        return [] if not stored or wave_rules(stored) == DEFAULT_WAVES else stored

    def has_changed(self, initial: Any, data: Any) -> bool:
        return [row for row in data or [] if any(row.values())] != [row for row in shown(initial) if any(row.values())]


def shown(value: Any) -> list[Row]:
    """Return rows to fill in: those given, or the usual ones, and some empty ones."""
    rows: Sequence[Any] = value if value else [_stored(rule) for rule in DEFAULT_WAVES]
    texts = [{key: _text(row.get(key)) for key, _, _ in COLUMNS} for row in rows]
    while texts and not any(texts[-1].values()):
        texts.pop()
    return [*texts, *({} for _ in range(SPARE))][:MOST]


def in_words(stored: Iterable[dict[str, Any]]) -> list[str]:
    """Return stored waves as sentences."""
    return [
        f"{'fewer than ' + _text(rule.lead_hours) + ' hours left' if rule.lead_hours else 'else'}: "
        f"{rule.size} every {_text(rule.gap_minutes)} min"
        for rule in wave_rules(stored)
    ]


def _read(number: int, row: Row, problems: dict[tuple[int, str], str]) -> dict[str, float]:
    limits = {"lead_hours": MOST_HOURS, "size": MOST_OFFERS, "gap_minutes": MOST_MINUTES}
    found: dict[str, float] = {}
    for key, _, asks in COLUMNS:
        text = row[key]
        if not text and key == "lead_hours":
            continue
        read = _number(text)
        if read is None or not 0 < read <= limits[key] or (key == "size" and read != int(read)):
            problems[number, key] = asks
        else:
            found[key] = int(read) if read == int(read) else read
    return found


def _refuse_doubles(rows: Sequence[Row], problems: dict[tuple[int, str], str]) -> None:
    seen: dict[float | None, int] = {}
    for number, row in enumerate(rows):
        hours = _number(row["lead_hours"]) if row["lead_hours"] else None
        if any(row.values()) and (number, "lead_hours") not in problems:
            first = seen.setdefault(hours, number)
            if first != number:
                problems[number, "lead_hours"] = f"Row {first + 1} is for the same time. Leave one of the two empty."


def _number(text: str) -> float | None:
    try:
        read = float(text.replace(",", "."))
    except ValueError:
        return None
    return read if abs(read) < 1e6 else None  # leaves out "nan" and "inf", too


def _stored(rule: WaveRule) -> dict[str, float | None]:
    return {"lead_hours": rule.lead_hours, "size": rule.size, "gap_minutes": rule.gap_minutes}


def _text(value: Any) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
