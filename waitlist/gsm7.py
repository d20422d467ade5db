"""How many segments of a text message a carrier makes of some words, and bills. Pure. Source: 3GPP TS 23.038."""

from __future__ import annotations

#: One seven-bit unit each.
BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
#: Two units each: an escape and the character.
EXTENDED = frozenset("\f^{}\\[~]|€")
ONE, EACH = 160, 153
UNICODE_ONE, UNICODE_EACH = 70, 67


def foreign(text: str) -> str:
    """Return the characters that turn a text into UCS-2, each once, in the order they appear."""
    return "".join(dict.fromkeys(letter for letter in text if letter not in BASIC and letter not in EXTENDED))


def units(text: str) -> int:
    """Return a text's length in units of its alphabet: seven-bit ones, or UTF-16 ones with any foreign character."""
    if foreign(text):
        return len(text.encode("utf-16-be")) // 2
    return sum(2 if letter in EXTENDED else 1 for letter in text)


def segments(text: str) -> int:
    """Return how many segments the text is sent in."""
    one, each = (UNICODE_ONE, UNICODE_EACH) if foreign(text) else (ONE, EACH)
    length = units(text)
    return 1 if length <= one else -(-length // each)
