"""FHIRPath: compiled once per process, checked before it is kept, evaluated without ever ending a load."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import fhirpathpy

# The parts of antlr4 that fhirpathpy itself parses with, in the version it was generated for.
from fhirpathpy.parser import (  # type: ignore[attr-defined]
    CommonTokenStream,
    ErrorListener,
    FHIRPathLexer,
    FHIRPathParser,
    InputStream,
)

logger = logging.getLogger(__name__)

LONGEST = 400
#: Functions that leave the resource, write output, or take time without bound.
_REFUSED = ("resolve(", "trace(", "repeat(", "matches(", "replaceMatches(")


class BadPath(ValueError):
    """The text is no FHIRPath that we evaluate; the message says where or why."""


class _Listener(ErrorListener):
    def syntaxError(self, recognizer: Any, symbol: Any, line: int, column: int, *_: Any) -> None:  # noqa: N802
        raise BadPath(f"It cannot be read from character {column + 1} on.")


def check(path: str) -> None:
    """Raise BadPath for what is no FHIRPath, or one that we do not evaluate."""
    if not path.strip():
        raise BadPath("It is empty. Write for example Patient.name.where(use = 'usual').given.")
    if len(path) > LONGEST:
        raise BadPath(f"It is longer than {LONGEST} characters.")
    if refused := next((name for name in _REFUSED if name in path.replace(" ", "")), ""):
        raise BadPath(f"{refused}…) is not evaluated here.")
    lexer = FHIRPathLexer(InputStream(path))
    parser = FHIRPathParser(CommonTokenStream(lexer))
    for part in (lexer, parser):
        part.removeErrorListeners()
        part.addErrorListener(_Listener())
    try:
        parser.entireExpression()
        # What is spelt well and means nothing shows on the first resource, however little that one holds.
        compiled(path)({"resourceType": "Patient"})
    except BadPath:
        raise
    except Exception as error:
        # The evaluator raises whatever an expression runs into; the person who wrote it is told.
        logger.info("a path was refused: %s", type(error).__name__)
        raise BadPath("It is spelt well, but uses something that is not known here.") from error


@lru_cache(maxsize=256)
def compiled(path: str) -> Callable[[Any], list[Any]]:
    """Return the path as a function from a resource to what stands there, in order."""
    function: Any = fhirpathpy.compile(path)

    def values(resource: Any) -> list[Any]:
        return list(function(resource))

    return values
