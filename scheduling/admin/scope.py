"""Which rows the person at the screen may see, and what happens when they ask for another location's."""

from __future__ import annotations

from typing import Any, NoReturn

from django.contrib.admin.utils import unquote
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import QuerySet
from django.http import Http404

from audit.log import record
from audit.models import AccessRecord
from scheduling.models import ScopedQuerySet

NOT_HERE = "There is no such page, or it belongs to a location you have no access to."


def visible(queryset: QuerySet[Any], user: AbstractBaseUser | AnonymousUser) -> QuerySet[Any]:
    """Narrow ``queryset`` to the locations of ``user``; rows that belong to no location are left as they are."""
    return queryset.for_user(user) if isinstance(queryset, ScopedQuerySet) else queryset


def fetch_or_404(queryset: QuerySet[Any], user: AbstractBaseUser | AnonymousUser, pk: Any) -> Any:
    """Return the row ``pk`` if ``user`` may see it.

    Raises Http404 otherwise, and puts it on record when the row exists at another location: the answer to both is
    the same, so that nobody learns which ids are taken. Call it outside a transaction, which would lose the record.
    """
    key = key_of(queryset.model, pk)
    row = visible(queryset, user).filter(pk=key).first() if key is not None else None
    if row is None:
        deny(queryset.model, [key])
    return row


def key_of(model: type[models.Model], text: Any) -> Any:
    """Return the primary key that ``text`` from a URL or form stands for, or None when it cannot be one."""
    try:
        key = model._meta.pk.to_python(unquote(str(text)))
    except (ValidationError, ValueError):
        return None
    return None if isinstance(key, int) and not 0 <= key < 2**63 else key


def deny(model: type[models.Model], keys: list[Any]) -> NoReturn:
    """Record the attempt on each existing row of ``keys`` and answer 404."""
    wanted = [key for key in keys if key is not None]
    for key in model._base_manager.filter(pk__in=wanted).values_list("pk", flat=True):
        record(
            AccessRecord.Action.DENIED,
            subject_kind=model._meta.label_lower,
            subject_id=key,
            result=AccessRecord.Result.REFUSED,
            reason="another location",
        )
    raise Http404(NOT_HERE)


def refuse_elsewhere(queryset: QuerySet[Any], user: AbstractBaseUser | AnonymousUser, values: list[Any]) -> None:
    """Raise Http404, on record, when one of ``values`` is the key of an existing row that ``user`` may not see."""
    keys = {key for key in (key_of(queryset.model, value) for value in values) if key is not None}
    if not keys:
        return
    seen = set(visible(queryset, user).filter(pk__in=keys).values_list("pk", flat=True))
    hidden = set(queryset.model._base_manager.filter(pk__in=keys - seen).values_list("pk", flat=True))
    if hidden:
        deny(queryset.model, sorted(hidden))
