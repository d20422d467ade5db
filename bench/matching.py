"""The first ten of a line of a thousand to a million, against the best SQL for the same question."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import psycopg
from django.db import connection

from bench import oracle, profiling, waiting
from bench.environment import Surroundings, use_database
from bench.figures import Figure, Result, Rounds
from bench.usage import resident_bytes
from bench.waiting import NOW, Waiting
from waitlist import candidates, line_sql, ranking

NAME = "matching"
WANTED = 10
#: More than enough for ten that suit; the statement that checks each of them reads no further.
FIRST_OF_LINE = 40
NAIVE_UP_TO = 10_000

Ask = Callable[[], list[int]]


def run(surroundings: Surroundings) -> Result:
    """Measure ``ranking.top`` at four sizes, each in a database of its own, in turn with its floors."""
    sizes = [300, 3_000] if surroundings.quick else [1_000, 10_000, 100_000, 1_000_000]
    calls = surroundings.size(200, 5)
    result = Result(NAME, f"The first {WANTED} of N waiting")
    lines = [_Line(surroundings, size) for size in sizes]
    for line in lines:
        line.verify(result)
    times: dict[tuple[int, str], list[float]] = {}
    for _ in range(surroundings.rounds):
        for line in lines:
            for name, ask in line.asks().items():
                times.setdefault((line.size, name), []).append(line.median_of(ask, calls))
    found = {key: Rounds(tuple(values)) for key, values in times.items()}
    _report(result, sizes, found)
    _memory(result, lines)
    result.profile = lines[-1].profiled(calls)
    for line in lines:
        line.close()
    return result


class _Line:
    """One size: its database, the product's answer and the floors'."""

    def __init__(self, surroundings: Surroundings, size: int) -> None:
        self.size = size
        self._name = f"bench_line_{size}"
        self._url = surroundings.database(self._name)
        began = time.monotonic()
        self.waiting: Waiting = waiting.build(size)
        self.build_seconds = time.monotonic() - began
        self._connection = psycopg.connect(self._url, autocommit=True)
        self._facts = candidates.facts_for(self.waiting.opening, NOW)
        self._index_sql = self._line_sql(WANTED)
        line_statement = self._line_sql(FIRST_OF_LINE)
        self._checked_sql = _CHECKED.format(line=line_statement, obstacles=oracle.OBSTACLES)

    def _line_sql(self, limit: int) -> str:
        """Return the statement for the head of the line with its values in it."""
        sql, values = line_sql.statement(line_sql.branches_of(self._facts), limit)
        return psycopg.ClientCursor(self._connection).mogrify(sql.encode(), values)

    def asks(self) -> dict[str, Ask]:
        """Return the ways to ask, by name: the product's first."""
        use_database(self._name)
        connection.ensure_connection()
        return {"ours": self.ours, "checked": self._by_checked_sql, "line": self._by_line, "index": self._by_index}

    def ours(self) -> list[int]:
        """Ask the product."""
        found = ranking.top(self.waiting.opening, WANTED, NOW, following=0)
        return [ranked.entry_id for ranked in found if ranked.verdict.eligible]

    def _by_line(self) -> list[int]:
        return [place.entry_id for place in ranking.line(self._facts, WANTED)]

    def _by_index(self) -> list[int]:
        return [row[-1] for row in self._connection.execute(self._index_sql.encode())]

    def _by_checked_sql(self) -> list[int]:
        values = {"child": self.waiting.child, "opening": self.waiting.opening.pk, "now": NOW, "wanted": WANTED}
        return [row[0] for row in self._connection.execute(self._checked_sql.encode(), values)]

    def median_of(self, ask: Ask, calls: int) -> float:
        """Return the median milliseconds of an answer."""
        for _ in range(3):
            ask()
        taken = []
        for _ in range(calls):
            began = time.perf_counter()
            ask()
            taken.append(time.perf_counter() - began)
        return sorted(taken)[len(taken) // 2] * 1000

    def verify(self, result: Result) -> None:
        """See that all ways give the same ten, and the same as an oracle."""
        asks = self.asks()
        ours = asks["ours"]()
        plain = oracle.by_plain_sql(self.waiting, WANTED)
        result.check(f"{self.size:,} waiting: the same {WANTED} as a plain statement over all", ours == plain)
        result.check(f"{self.size:,} waiting: the floor with every check names them too", asks["checked"]() == ours)
        result.check(f"{self.size:,} waiting: there are {WANTED}", len(ours) == WANTED)
        if self.size <= NAIVE_UP_TO:
            naive = oracle.by_judging_everybody(self.waiting, WANTED)
            result.check(f"{self.size:,} waiting: the same as judging everybody in Python", ours == naive)
        if self.size <= 1_000:
            same = waiting.keys_as_the_product_makes_them(self.size)
            result.check("the bulk data's match keys are those the product writes", same)

    def peak_kib(self) -> float:
        """Return the most memory that Python took for one answer."""
        ask = self.asks()["ours"]
        ask()
        tracemalloc.start()
        ask()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak / 1024

    def growth_kib(self, calls: int) -> float:
        """Return by how much this process grew over so many answers."""
        ask = self.asks()["ours"]
        ask()
        before = resident_bytes()
        for _ in range(calls):
            ask()
        return (resident_bytes() - before) / 1024

    def profiled(self, calls: int) -> str:
        """Return where the time of an answer goes."""
        ask = self.asks()["ours"]
        return profiling.profile(lambda: [ask() for _ in range(calls)], calls)

    def close(self) -> None:
        """Close the floors' connection."""
        self._connection.close()


def _report(result: Result, sizes: list[int], found: dict[tuple[int, str], Rounds]) -> None:
    large, middle = sizes[-1], sizes[1] if len(sizes) > 2 else sizes[0]
    for size in sizes:
        ours, checked, line, index = (found[size, name] for name in ("ours", "checked", "line", "index"))
        limit = 1.5 if size == large else None
        result.figures += [
            Figure(f"{size:,} waiting, every check", "ms", ours, "SQL with every check", checked, limit),
            Figure(f"{size:,} waiting, the line alone", "ms", line, "SQL of the index", index, limit),
        ]
    result.figures.append(
        Figure(
            f"{large:,} against {middle:,}",
            "ms",
            found[large, "ours"],
            f"ours, {middle:,} waiting",
            found[middle, "ours"],
            1.5,
        )
    )


def _memory(result: Result, lines: list[_Line]) -> None:
    large, middle = lines[-1], lines[1] if len(lines) > 2 else lines[0]
    result.figures.append(
        Figure(
            f"memory for one answer, {large.size:,}",
            "KiB",
            Rounds((large.peak_kib(),)),
            f"ours, {middle.size:,} waiting",
            Rounds((middle.peak_kib(),)),
            1.1,
        )
    )
    result.notes.append(
        f"Over 200 answers at {large.size:,} waiting this process grew by {large.growth_kib(200):,.0f} KiB."
    )
    built = ", ".join(f"{line.size:,} in {line.build_seconds:.0f} s" for line in lines)
    result.notes.append(f"The lines were written by bulk SQL: {built}.")


#: The best single statement that gives the right answer: the head of the line by the index, then every check.
_CHECKED = """
SELECT e.id
FROM ({line}) AS line (urgency, moving_up, races, joined_at, looseness, entry_id)
    JOIN waitlist_waitlistentry AS e ON e.id = line.entry_id
    JOIN scheduling_patient AS p ON p.id = e.patient_id
    JOIN scheduling_opening AS o ON o.id = %(opening)s
WHERE {obstacles}
ORDER BY line.urgency, line.moving_up, line.races, line.joined_at, line.looseness, line.entry_id
LIMIT %(wanted)s
"""
