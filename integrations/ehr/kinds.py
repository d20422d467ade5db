"""The kinds of EHR an installation adds to ours: a module each, named by the setting EHR_ADAPTERS."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


def added() -> list[tuple[str, str]]:
    """Return each added kind and how staff see it; raises ImproperlyConfigured for one that cannot be used."""
    return [(kind, _label(kind, adapter_of(kind))) for kind in settings.EHR_ADAPTERS]


def adapter_of(kind: str) -> ModuleType:
    """Return the module of an added kind; raises ImproperlyConfigured when it is no adapter."""
    name = settings.EHR_ADAPTERS.get(kind, "")
    try:
        module = import_module(name)
    except (ImportError, ValueError) as problem:
        raise ImproperlyConfigured(f"EHR_ADAPTERS: {name or kind} cannot be imported: {problem}.") from problem
    if not callable(getattr(module, "open_gateway", None)):
        raise ImproperlyConfigured(f"EHR_ADAPTERS: {name} has no open_gateway, so it is no adapter.")
    return module


def _label(kind: str, module: ModuleType) -> str:
    label = getattr(getattr(module, "DECLARATION", None), "label", kind)
    return str(label)
