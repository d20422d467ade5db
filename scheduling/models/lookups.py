"""``value__among=[…]``: one of many texts, as one parameter however many they are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django.db import models


class Among(models.Lookup[Any]):
    """Like ``in``, whose hundreds of parameters take longer to write out and to plan than the rows to find."""

    lookup_name = "among"
    prepare_rhs = False

    def __init__(self, lhs: Any, rhs: Iterable[str]) -> None:
        super().__init__(lhs, list(rhs))

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        """An array."""
        column, parameters = self.process_lhs(compiler, connection)
        return f"{column} = ANY(%s)", (*parameters, self.rhs)

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        """A JSON array, which SQLite reads as a table."""
        column, parameters = self.process_lhs(compiler, connection)
        return f"{column} IN (SELECT value FROM json_each(%s))", (*parameters, json.dumps(self.rhs))  # noqa: S608


models.CharField.register_lookup(Among)
