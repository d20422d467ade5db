"""Encryption of single values, and the keyed hashes by which encrypted values are found again.

Keys come from the settings:

``FIELD_ENCRYPTION_KEYS``
    Fernet keys (32 bytes, URL-safe base64). The first one encrypts; all of them decrypt.
``BLIND_INDEX_KEY``
    Any long secret. Every stored index depends on it, so it stays the same when encryption keys are rotated.
"""

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

SHORTEST_PREFIX = 2
LONGEST_PREFIX = 8
TOKEN_LENGTH = 16
MOST_WORDS = 12
"""Words of a text that are indexed: bounds the tokens that a 300-character name can leave."""

_APOSTROPHES = re.compile(r"['’ʼ‘`´]")
_WORDS = re.compile(r"[^\W_]+")
# Letters that Unicode does not decompose into a base letter and a mark.
_PLAIN_LETTERS = str.maketrans({"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"})


class DecryptionError(Exception):
    """A stored value opens with none of the configured keys. The text never holds the value."""


@lru_cache(maxsize=8)
def _ciphers(keys: tuple[str, ...]) -> tuple[MultiFernet, Fernet]:
    if not keys:
        raise ImproperlyConfigured(_KEYS_HELP)
    try:
        each = [Fernet(key) for key in keys]
    except (ValueError, TypeError):
        raise ImproperlyConfigured(_KEYS_HELP) from None
    return MultiFernet(each), each[0]


_KEYS_HELP = (
    "FIELD_ENCRYPTION_KEYS must list at least one Fernet key: 32 random bytes in URL-safe base64, 44 characters. "
    "Make one with: python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
)


def _configured() -> tuple[MultiFernet, Fernet]:
    # The cache is keyed by the setting itself, so changed settings are seen at once.
    return _ciphers(tuple(settings.FIELD_ENCRYPTION_KEYS))


def encrypt(plain: bytes) -> bytes:
    """Encrypts under the first key; the result is ASCII."""
    return _configured()[0].encrypt(plain)


def decrypt(token: bytes) -> bytes:
    """Opens a token under any of the keys; raises `DecryptionError` if none fits."""
    try:
        return _configured()[0].decrypt(token)
    except InvalidToken:
        raise DecryptionError(
            "A stored value opens with none of the FIELD_ENCRYPTION_KEYS. Nothing was changed. "
            "Add the key it was written under to the end of the setting."
        ) from None


def is_current(token: bytes) -> bool:
    """Whether the token was written under the first key."""
    try:
        _configured()[1].decrypt(token)
    except InvalidToken:
        return False
    return True


def reencrypt(token: bytes) -> bytes:
    """The same content under the first key; raises `DecryptionError` if no key opens it."""
    return encrypt(decrypt(token))


def derived_key(purpose: str) -> bytes:
    """A key of 32 bytes for one purpose, derived from ``BLIND_INDEX_KEY``."""
    secret = settings.BLIND_INDEX_KEY
    if not secret:
        raise ImproperlyConfigured("BLIND_INDEX_KEY must be set to a long random secret and then never change.")
    return hmac.digest(str(secret).encode(), b"purpose\0" + purpose.encode(), hashlib.sha256)


def blind_index(value: str, purpose: str) -> str:
    """64 hex digits that equal values of one purpose share and that tell nothing without the key.

    The caller normalises the value (case, spaces, E.164 for phones) the same way when storing and when searching.
    """
    return hmac.new(derived_key(purpose), value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def prefix_tokens(text: str, purpose: str) -> list[str]:
    """Tokens under which a name is found by the beginning of any of its words: 16 hex digits each, sorted.

    Upper and lower case, accents and apostrophes make no difference. A word of one letter has one token.
    """
    return sorted({_token(prefix, purpose) for word in _words(text) for prefix in _prefixes(word)})


def search_tokens(query: str, purpose: str) -> list[str]:
    """The tokens that `prefix_tokens` of a matching text must all contain; empty when nothing can be searched.

    A single letter finds words of one letter only. Beside longer words it is passed over: "smith j" finds all Smiths.
    """
    words = _words(query)
    telling = [word for word in words if len(word) >= SHORTEST_PREFIX] or words
    return sorted({_token(word[:LONGEST_PREFIX], purpose) for word in telling})


def _token(prefix: str, purpose: str) -> str:
    return blind_index(prefix, f"prefix:{purpose}")[:TOKEN_LENGTH]


def _prefixes(word: str) -> Iterator[str]:
    for length in range(min(SHORTEST_PREFIX, len(word)), min(LONGEST_PREFIX, len(word)) + 1):
        yield word[:length]


def _words(text: str) -> list[str]:
    folded = _APOSTROPHES.sub("", text).casefold().translate(_PLAIN_LETTERS)
    decomposed = unicodedata.normalize("NFKD", folded)
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter)).casefold()
    return _WORDS.findall(plain)[:MOST_WORDS]
