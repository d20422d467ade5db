"""Model fields whose content is readable only with a key. In Python they hold plain values, in the database tokens."""

import base64
import datetime
import json
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminTextareaWidget, AdminTextInputWidget
from django.core.exceptions import FieldError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from audit.encryption import DecryptionError, decrypt, encrypt

__all__ = [
    "BlindIndexField",
    "DecryptionError",
    "EncryptedBinaryField",
    "EncryptedDateField",
    "EncryptedJSONField",
    "EncryptedTextField",
    "encrypted_fields",
]

DUMP_MARK = "encrypted-token:"
SINGLE_LINE_LENGTH = 254


class EncryptedMixin(models.Field):
    """What all encrypted fields share. ``None`` stays NULL; every other value, "" too, is encrypted."""

    def dump(self, value: Any) -> bytes:
        raise NotImplementedError

    def load(self, plain: bytes) -> Any:
        raise NotImplementedError

    def get_internal_type(self) -> str:
        return "TextField"

    def get_prep_value(self, value: Any) -> Any:
        return value

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        if value is None or hasattr(value, "as_sql"):
            return value
        return encrypt(self.dump(value)).decode("ascii")

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        return self.get_db_prep_value(value, connection)

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        if value is None:
            return None
        return self._open(value.encode() if isinstance(value, str) else bytes(value))

    def _open(self, token: bytes) -> Any:
        try:
            return self.load(decrypt(token))
        except DecryptionError:
            raise DecryptionError(
                f"{self.model._meta.label}.{self.name}: a stored value opens with none of the FIELD_ENCRYPTION_KEYS. "
                "Nothing was changed. Add the key it was written under to the end of the setting."
            ) from None

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name == "isnull":
            return super().get_lookup(lookup_name)
        raise FieldError(
            f"{self.model._meta.label}.{self.name} is encrypted and cannot be searched by '{lookup_name}': "
            "only isnull works. Search its blind index instead."
        )

    def get_transform(self, lookup_name: str) -> Any:
        raise FieldError(f"{self.model._meta.label}.{self.name} is encrypted and has no '{lookup_name}' to look into.")

    def value_to_string(self, obj: models.Model) -> Any:
        """What ``dumpdata`` writes: a token, so that a dump is worth no more than the database."""
        value = getattr(obj, self.name)
        return None if value is None else DUMP_MARK + encrypt(self.dump(value)).decode("ascii")

    def to_python(self, value: Any) -> Any:
        """Called by ``loaddata``: reads what `value_to_string` wrote."""
        if isinstance(value, str) and value.startswith(DUMP_MARK):
            return self._open(value[len(DUMP_MARK) :].encode())
        return self.plain_to_python(value)

    def plain_to_python(self, value: Any) -> Any:
        return super().to_python(value)

    def clean(self, value: Any, model_instance: models.Model | None) -> Any:
        # Not through to_python: somebody who typed a token into a form must not get it decrypted.
        value = self.plain_to_python(value)
        self.validate(value, model_instance)
        self.run_validators(value)
        return value


class EncryptedTextField(EncryptedMixin, models.TextField):
    """Text. With a ``max_length`` of at most 254 forms show one line, otherwise a text area."""

    def dump(self, value: Any) -> bytes:
        return str(value).encode("utf-8", "surrogatepass")

    def load(self, plain: bytes) -> str:
        return plain.decode("utf-8", "surrogatepass")

    def formfield(self, **kwargs: Any) -> Any:
        if self.max_length is not None and self.max_length <= SINGLE_LINE_LENGTH:
            in_admin = kwargs.get("widget") is AdminTextareaWidget
            if in_admin or "widget" not in kwargs:
                kwargs["widget"] = AdminTextInputWidget if in_admin else forms.TextInput
        return super().formfield(**kwargs)


class EncryptedJSONField(EncryptedMixin, models.JSONField):
    """Anything that `DjangoJSONEncoder` writes; dates and decimals come back as text."""

    def dump(self, value: Any) -> bytes:
        return json.dumps(value, cls=self.encoder or DjangoJSONEncoder).encode()

    def load(self, plain: bytes) -> Any:
        return json.loads(plain, cls=self.decoder)


class EncryptedDateFormField(forms.DateField):
    """Takes its initial value as ISO text, as `EncryptedDateField.value_from_object` gives it."""

    def prepare_value(self, value: Any) -> Any:
        try:
            return datetime.date.fromisoformat(value)
        except (TypeError, ValueError):
            return value

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)


class EncryptedDateField(EncryptedMixin, models.DateField):
    """A date (`datetime.date`)."""

    def dump(self, value: Any) -> bytes:
        date = self.plain_to_python(value)
        return date.isoformat().encode()

    def load(self, plain: bytes) -> datetime.date:
        return datetime.date.fromisoformat(plain.decode())

    def value_from_object(self, obj: models.Model) -> Any:
        # Serializers write a date as it is and never ask value_to_string; text they hand over to it.
        value = getattr(obj, self.attname)
        return value.isoformat() if isinstance(value, datetime.date) else value

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**{"form_class": EncryptedDateFormField, **kwargs})


class EncryptedBinaryField(EncryptedMixin, models.BinaryField):
    """Bytes, kept in a binary column; read back as `bytes`."""

    def get_internal_type(self) -> str:
        return "BinaryField"

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        if value is None or hasattr(value, "as_sql"):
            return value
        return connection.Database.Binary(encrypt(self.dump(value)))  # type: ignore[attr-defined]

    def dump(self, value: Any) -> bytes:
        return bytes(value)

    def load(self, plain: bytes) -> bytes:
        return plain

    def plain_to_python(self, value: Any) -> Any:
        return base64.b64decode(value) if isinstance(value, str) else value


class BlindIndexField(models.CharField):
    """Holds `audit.encryption.blind_index`: 64 hex digits, indexed. Empty text means that there is no value."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 64)
        kwargs.setdefault("db_index", True)
        kwargs.setdefault("blank", True)
        kwargs.setdefault("editable", False)
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        # Spelt out, so that a migration does not change its meaning with the defaults above.
        indexed = self.db_index  # type: ignore[attr-defined]
        kwargs.update(max_length=self.max_length, db_index=indexed, blank=self.blank, editable=self.editable)
        return name, path, args, kwargs


def encrypted_fields(model: type[models.Model]) -> list[Any]:
    """The encrypted fields that the model's own table holds."""
    return [field for field in model._meta.local_concrete_fields if isinstance(field, EncryptedMixin)]
