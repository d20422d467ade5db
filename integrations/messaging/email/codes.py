"""What mail servers' answers mean for the next step. Source: RFC 3463 and the registry of enhanced status codes."""

from __future__ import annotations

import re

from integrations.messaging.gateway import Trouble

#: What our own codes say that hold no status of a server.
_WORDS = {
    "mail_login_refused": "the mail server does not accept our login: tell IT",
    "mail_server_unreachable": "the mail server is down",
    "mail_answer_lost": "its answer was lost: it may have arrived",
    "mail_address_refused": "there is no such mailbox",
    "mail_cannot_be_built": "the mail provider cannot take it as it is: tell IT",
    "mail_complained": "they called it spam",
    "mail_unsubscribed": "they ended e-mails",
    "mail_bounced": "it came back",
    "mail_rejected": "the mail provider refused it",
    "mail_failed": "the mail provider could not deliver it",
    "not_accepted": "the mail server did not take it",
}
_CODE = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
#: No such mailbox, address or domain; the mailbox is switched off or has moved.
_ADDRESS = re.compile(r"5\.(?:1\.(?:0|1|2|3|4|6|10)|2\.1|4\.4)")


def status_in(text: str) -> str:
    """Return the first enhanced status code in a server's answer, such as ``5.1.1``; empty when it holds none."""
    found = _CODE.search(text)
    return found.group() if found else ""


def trouble_of(status: str, *, without: Trouble = "other") -> Trouble:
    """Return what a permanent failure says of the address; ``without`` a code, what else is known of it."""
    if not status:
        return without
    return "address" if _ADDRESS.fullmatch(status) else "other"


def explain(code: str) -> str:
    """Return what a code of an e-mail means to staff; empty for another code."""
    if code in _WORDS:
        return _WORDS[code]
    name, _, given = code.partition("_")
    if name == "smtp" and given.isdecimal():
        said = "the mail server asks us to come later" if given.startswith("4") else "the mail server refused it"
        return f"{said} (SMTP {given})"
    if name == "mail" and status_in(given):
        said = "there is no such mailbox" if trouble_of(given) == "address" else "it came back"
        return f"{said} (status {given})"
    if name == "mail" and given.isdecimal():
        return f"the mail provider refused it (HTTP {given})"
    return ""
