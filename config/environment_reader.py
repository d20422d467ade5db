"""Reading one variable at a time, with a plain sentence for each that cannot be used.

A sentence names the variable, says what is wrong and what to write instead. Values are never repeated in it, because
many of them are secrets.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

Value = TypeVar("Value")


@dataclass
class Reader:
    """Reads variables through django-environ and keeps a sentence for each one that cannot be used."""

    variables: Mapping[str, str]
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.env = environ.Env()
        self.env.ENVIRON = dict(self.variables)

    def problem(self, name: str, what: str, mend: str) -> None:
        self.problems.append(f"{name} {what}: {mend}.")

    def value(self, name: str, parse: Callable[[], Value], fallback: Value, mend: str) -> Value:
        try:
            return parse()
        except (ValueError, TypeError, KeyError, ImproperlyConfigured):
            self.problem(name, "cannot be read", mend)
            return fallback

    def text(self, name: str, default: str = "") -> str:
        return str(self.variables.get(name, default)).strip()

    def boolean(self, name: str, default: bool) -> bool:
        spelled = self.text(name).lower()
        known = {
            "true": True,
            "1": True,
            "yes": True,
            "on": True,
            "false": False,
            "0": False,
            "no": False,
            "off": False,
        }
        if spelled and spelled not in known:
            self.problem(name, "is not a yes or a no", "write true or false")
        return known.get(spelled, default)

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        chosen = self.text(name) or default
        if chosen in allowed:
            return chosen
        self.problem(name, "has a value this version does not know", f"write one of {', '.join(allowed)}")
        return default

    def whole_number(self, name: str, default: int, least: int, most: int) -> int:
        mend = f"write a whole number from {least} to {most}"
        if not self.text(name):
            return default
        number = self.value(name, lambda: self.env.int(name), default, mend)
        if not least <= number <= most:
            self.problem(name, "is out of range", mend)
        return number

    def words(self, name: str) -> list[str]:
        return [word.strip() for word in self.text(name).split(",") if word.strip()]

    def waits(self, name: str, default: list[int]) -> list[int]:
        """A retry schedule: seconds to wait after the first, second, … failure; its length is the number of retries."""
        mend = "write waiting times in whole seconds separated by commas, e.g. 5,10,20,60,300"
        if not self.text(name):
            return default
        waits = self.value(name, lambda: [int(word) for word in self.words(name)], default, mend)
        if not waits or any(wait < 1 for wait in waits):
            self.problem(name, "needs at least one wait of one second or more", mend)
        return waits

    def web_address(self, name: str, default: str = "") -> str:
        address = self.text(name) or default
        if not _is_web_address(address):
            self.problem(name, "is not a web address", "write it with its scheme, e.g. https://waitlist.example.org")
            return ""
        return address.rstrip("/")


def _is_web_address(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
