"""The words of every message, in the patient's language. Pure: values in, subject and body out.

A context holds what the words may need; every key is optional unless a kind's text uses it:

- ``practice``: how the place signs; ``phone``: the number a person answers
- ``start``: when the visit begins, on the location's clock; ``zone``: the zone's short name where it must be said
- ``provider``: empty unless the location names providers in messages
- ``code``, ``link``, ``reference``
- ``call_after``: when the patient should call if nothing was heard; ``keep``: the later appointment of a move-up
  while it still stands; ``replaces``: the same once the earlier one is confirmed
- ``choices``: ``[(code, start), …]`` for a question back; ``outcome``: what an answer is about
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

LANGUAGES = ("en", "es")
_DAYS = {
    "en": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
    # Written without the accents that would double the length of a text.
    "es": ("lun", "mar", "mie", "jue", "vie", "sab", "dom"),
}
_MONTHS = {
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    "es": ("ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic"),
}


@dataclass(frozen=True, slots=True)
class Rendered:
    """What is sent; a text has no subject."""

    subject: str
    body: str


def language_of(tag: str) -> str:
    """Return the language we write in for a language tag such as es-MX; English where we have no other."""
    language = tag.lower().replace("_", "-").split("-")[0]
    return language if language in LANGUAGES else "en"


def render(kind: str, channel: str, language: str, context: Mapping[str, Any]) -> Rendered:
    """Return a message's words."""
    language = language_of(language)
    values = {"phone": "", "link": "", "code": "", "reference": "", **context}
    values.update(_spoken(language, context))
    body = _text(kind, language, values).format_map(values).strip()
    subject = f"{values['practice']}: {_SUBJECTS[language].get(kind, '')}".rstrip(": ") if channel == "email" else ""
    return Rendered(subject, " ".join(body.split()))


def say_time(moment: datetime, language: str, zone: str = "") -> str:
    """Return a date and time such as "Tue Mar 3, 2:30 PM", with the zone's name where it is given."""
    day, month = _DAYS[language][moment.weekday()], _MONTHS[language][moment.month - 1]
    clock = f"{moment.hour % 12 or 12}:{moment.minute:02d} {'AM' if moment.hour < 12 else 'PM'}"
    date = f"{day} {month} {moment.day}" if language == "en" else f"{day} {moment.day} {month}"
    return f"{date}, {clock} {zone}".strip()


def _spoken(language: str, context: Mapping[str, Any]) -> dict[str, str]:
    zone = str(context.get("zone", ""))
    spoken = {"when": "", "by": "", "keep": "", "replaces": "", "with_provider": "", "choices": ""}
    if context.get("start"):
        spoken["when"] = say_time(context["start"], language, zone)
    if context.get("call_after"):
        spoken["by"] = say_time(context["call_after"], language, zone)
    if context.get("keep"):
        kept = say_time(context["keep"], language, zone)
        spoken["keep"] = {
            "en": f"You keep {kept} unless we confirm this one.",
            "es": f"Su cita del {kept} sigue en pie hasta que confirmemos esta.",
        }[language]
    if context.get("replaces"):
        given_up = say_time(context["replaces"], language, zone)
        spoken["replaces"] = {"en": f"It replaces {given_up}.", "es": f"Reemplaza la del {given_up}."}[language]
    if context.get("provider"):
        spoken["with_provider"] = {"en": "with ", "es": "con "}[language] + str(context["provider"])
    yes = {"en": "YES", "es": "SI"}[language]
    choices = context.get("choices", ())
    spoken["choices"] = ", ".join(f"{yes} {code} ({say_time(at, language, zone)})" for code, at in choices)
    return spoken


def _text(kind: str, language: str, values: Mapping[str, Any]) -> str:
    texts = _TEXTS[language]
    specific = f"{kind}.{values.get('outcome', '')}"
    return texts.get(specific) or texts.get(kind) or _TEXTS["en"][kind]


_SUBJECTS = {
    "en": {
        "offer": "an earlier time is free",
        "received": "received, not yet confirmed",
        "confirmed": "your appointment is confirmed",
        "filled": "the time is taken",
        "refused": "the time could not be booked",
        "withdrawn": "the time is no longer offered",
        "still_wanted": "are you still waiting?",
    },
    "es": {
        "offer": "hay una cita antes",
        "received": "recibido, sin confirmar",
        "confirmed": "su cita está confirmada",
        "filled": "la cita ya está ocupada",
        "refused": "no se pudo reservar",
        "withdrawn": "la cita ya no se ofrece",
        "still_wanted": "¿todavía espera una cita?",
    },
}

_TEXTS: dict[str, dict[str, str]] = {
    "en": {
        "offer": "{practice}: a time is free {when} {with_provider}. {keep} Reply YES {code} to take it or NO {code}. {link}",
        "received": "{practice}: received, not yet confirmed: {when}. Reference {reference}. {keep} "
        "If you hear nothing by {by}, call {phone}.",
        "confirmed": "{practice}: confirmed: {when} {with_provider}. Reference {reference}. {replaces} Questions: {phone}",
        "filled": "{practice}: the time {when} has been filled. You stay on the list.",
        "refused": "{practice}: sorry, {when} could not be booked. You do not have this time. {keep} "
        "You stay on the list. {phone}",
        "withdrawn": "{practice}: the time {when} is no longer offered. You stay on the list.",
        "still_wanted": "{practice}: do you still want an earlier appointment? Reply YES to stay on the list or NO to leave it.",
        "stop_receipt": "{practice}: you will get no more texts from us. Reply START to get them again.",
        "help": "{practice}: waitlist messages. Call {phone}. Reply STOP for no more texts.",
        "question": "{practice}: which one? Reply {choices}.",
        "answer": "{practice}: thank you. Call {phone} with questions.",
        "answer.taken": "{practice}: someone answered first for {when}. We write only if it comes free.",
        "answer.filled": "{practice}: the time {when} has been filled. You stay on the list.",
        "answer.expired": "{practice}: the offer for {when} has ended. Nothing was booked. You stay on the list.",
        "answer.withdrawn": "{practice}: the time {when} is no longer offered. Nothing was booked. You stay on the list.",
        "answer.changed": "{practice}: the time {when} has changed. Nothing was booked. You stay on the list.",
        "answer.overlaps": "{practice}: you already have an appointment at that time. Nothing was booked. Call {phone}.",
        "answer.held": "{practice}: we are checking {when}. Nothing is booked yet. Call {phone} with questions.",
        "answer.pending": "{practice}: received, not yet confirmed: {when}. Reference {reference}.",
        "answer.confirmed": "{practice}: confirmed: {when}. Reference {reference}.",
        "answer.declined": "{practice}: all right, you keep your place on the list.",
        "answer.stays": "{practice}: thank you, you stay on the list.",
        "answer.left": "{practice}: you are off the list. Call {phone} to come back.",
        "answer.started": "{practice}: you will get our texts again. Reply STOP for no more.",
        "answer.no_offer": "{practice}: there is no open offer for that. Call {phone} with questions.",
        "answer.urgent": "{practice}: this number is not monitored. In an emergency call 911 now. Our phone: {phone}",
    },
    "es": {
        "offer": "{practice}: hay una cita {when} {with_provider}. {keep} Responda SI {code} para tomarla o NO {code}. {link}",
        "received": "{practice}: recibido, falta confirmar: {when}. Referencia {reference}. {keep} "
        "Si no sabe nada antes de {by}, llame al {phone}.",
        "confirmed": "{practice}: confirmada: {when} {with_provider}. Referencia {reference}. {replaces} Preguntas: {phone}",
        "filled": "{practice}: la cita {when} ya fue tomada. Usted sigue en la lista.",
        "refused": "{practice}: lo sentimos, no se pudo reservar {when}. Usted no tiene esa cita. {keep} "
        "Sigue en la lista. {phone}",
        "withdrawn": "{practice}: la cita {when} ya no se ofrece. Usted sigue en la lista.",
        "still_wanted": "{practice}: ¿todavia quiere una cita antes? Responda SI para seguir en la lista o NO para salir.",
        "stop_receipt": "{practice}: no recibira mas mensajes de nosotros. Responda START para recibirlos otra vez.",
        "help": "{practice}: mensajes de la lista de espera. Llame al {phone}. Responda STOP para no recibir mas.",
        "question": "{practice}: ¿cual? Responda {choices}.",
        "answer": "{practice}: gracias. Preguntas: {phone}.",
        "answer.taken": "{practice}: alguien respondio antes para {when}. Le escribimos solo si queda libre.",
        "answer.filled": "{practice}: la cita {when} ya fue tomada. Usted sigue en la lista.",
        "answer.expired": "{practice}: la oferta de {when} ya termino. No se reservo nada. Usted sigue en la lista.",
        "answer.withdrawn": "{practice}: la cita {when} ya no se ofrece. No se reservo nada. Usted sigue en la lista.",
        "answer.changed": "{practice}: la cita {when} cambio. No se reservo nada. Usted sigue en la lista.",
        "answer.overlaps": "{practice}: usted ya tiene una cita a esa hora. No se reservo nada. Llame al {phone}.",
        "answer.held": "{practice}: estamos revisando {when}. No hay nada reservado. Preguntas: {phone}.",
        "answer.pending": "{practice}: recibido, falta confirmar: {when}. Referencia {reference}.",
        "answer.confirmed": "{practice}: confirmada: {when}. Referencia {reference}.",
        "answer.declined": "{practice}: de acuerdo, conserva su lugar en la lista.",
        "answer.stays": "{practice}: gracias, sigue en la lista.",
        "answer.left": "{practice}: ya no esta en la lista. Llame al {phone} para volver.",
        "answer.started": "{practice}: recibira nuestros mensajes otra vez. Responda STOP para no recibir mas.",
        "answer.no_offer": "{practice}: no hay una oferta abierta para eso. Preguntas: {phone}.",
        "answer.urgent": "{practice}: nadie vigila este numero. En una emergencia llame al 911 ahora. Telefono: {phone}",
    },
}
