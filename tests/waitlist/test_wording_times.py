"""Times as people say them, and what a text costs."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from waitlist import gsm7
from waitlist.times import say, say_hours, say_phone, say_short, zone_name

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("clock", "english", "spanish"),
    [
        ((0, 0), "12:00 midnight", "a las 12:00 de la medianoche"),
        ((0, 30), "12:30 in the morning", "a las 12:30 de la mañana"),
        ((1, 0), "1:00 in the morning", "a la 1:00 de la mañana"),
        ((11, 59), "11:59 in the morning", "a las 11:59 de la mañana"),
        ((12, 0), "12:00 noon", "a las 12:00 del mediodía"),
        ((12, 5), "12:05 in the afternoon", "a las 12:05 de la tarde"),
        ((13, 15), "1:15 in the afternoon", "a la 1:15 de la tarde"),
        ((14, 0), "2:00 in the afternoon", "a las 2:00 de la tarde"),
        ((18, 0), "6:00 in the evening", "a las 6:00 de la tarde"),
        ((19, 0), "7:00 in the evening", "a las 7:00 de la noche"),
        ((21, 0), "9:00 at night", "a las 9:00 de la noche"),
    ],
)
def test_the_clock(clock: tuple[int, int], english: str, spanish: str) -> None:
    moment = datetime(2026, 11, 24, *clock, tzinfo=NEW_YORK)
    assert say(moment, "en") == f"Tuesday, November 24 at {english}"
    assert say(moment, "es") == f"martes 24 de noviembre, {spanish}"


@pytest.mark.parametrize(
    ("hours", "english", "spanish"),
    [
        (
            (time(8), time(10, 30)),
            "8:00 in the morning to 10:30 in the morning",
            "de 8:00 de la mañana a 10:30 de la mañana",
        ),
        (
            (time(13), time(18)),
            "1:00 in the afternoon to 6:00 in the evening",
            "de 1:00 de la tarde a 6:00 de la tarde",
        ),
        ((time(12), time(23, 59)), "12:00 noon to 12:00 midnight", "de 12:00 del mediodía a 12:00 de la medianoche"),
    ],
)
def test_hours_from_and_to(hours: tuple[time, time], english: str, spanish: str) -> None:
    assert (say_hours(*hours, "en"), say_hours(*hours, "es")) == (english, spanish)


def test_the_zone_behind_it() -> None:
    moment = datetime(2026, 11, 24, 14, tzinfo=NEW_YORK)
    assert say(moment, "en", zone=True) == "Tuesday, November 24 at 2:00 in the afternoon (Eastern time)"
    assert say(moment, "es", zone=True) == "martes 24 de noviembre, a las 2:00 de la tarde (hora del Este)"
    assert say_short(moment, "en", zone=True) == "Tue Nov 24, 2:00 PM ET"
    assert say_short(moment, "es") == "mar 24 nov, 2:00 PM"


@pytest.mark.parametrize(
    ("hour", "said"), [(0, "12:00 AM"), (9, "9:00 AM"), (11, "11:00 AM"), (12, "12:00 PM"), (13, "1:00 PM")]
)
def test_a_texts_clock(hour: int, said: str) -> None:
    assert say_short(datetime(2026, 11, 24, hour, tzinfo=NEW_YORK), "en") == f"Tue Nov 24, {said}"


def test_a_zone_without_a_short_form_or_a_city_is_named_as_well_as_can_be() -> None:
    there, nowhere = (datetime(2026, 11, 24, 14, tzinfo=zone) for zone in (ZoneInfo("Europe/Madrid"), UTC))
    assert say_short(there, "en", zone=True) == "Tue Nov 24, 2:00 PM Madrid time"
    assert zone_name(nowhere, "en") == "UTC time"


@pytest.mark.parametrize(
    ("key", "english", "spanish"),
    [
        ("America/Chicago", "Central time", "hora del Centro"),
        ("America/Denver", "Mountain time", "hora de la Montaña"),
        ("America/Phoenix", "Arizona time", "hora de Arizona"),
        ("America/Los_Angeles", "Pacific time", "hora del Pacífico"),
        ("America/Anchorage", "Alaska time", "hora de Alaska"),
        ("Pacific/Honolulu", "Hawaii time", "hora de Hawái"),
        ("America/Puerto_Rico", "Atlantic time", "hora del Atlántico"),
        ("Europe/Madrid", "Madrid time", "hora de Madrid"),
        ("Asia/Shanghai", "Shanghai time", "hora de Shanghai"),
        ("America/Sao_Paulo", "Sao Paulo time", "hora de Sao Paulo"),
    ],
)
@pytest.mark.parametrize("month", [1, 7])
def test_zones_have_one_name_in_winter_and_summer(key: str, english: str, spanish: str, month: int) -> None:
    moment = datetime(2026, month, 15, 12, tzinfo=ZoneInfo(key))
    assert (zone_name(moment, "en"), zone_name(moment, "es")) == (english, spanish)


def test_the_days_of_a_clock_change_are_read_on_the_clock() -> None:
    spring = datetime(2026, 3, 8, 7, 0, tzinfo=UTC).astimezone(NEW_YORK)
    autumn = [datetime(2026, 11, 1, hour, 30, tzinfo=UTC).astimezone(NEW_YORK) for hour in (5, 6)]
    assert say(spring, "en") == "Sunday, March 8 at 3:00 in the morning"
    assert [say(each, "en") for each in autumn] == ["Sunday, November 1 at 1:30 in the morning"] * 2


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("+12125550100", "(212) 555-0100"),
        ("2125550100", "(212) 555-0100"),
        ("1-212-555-0100", "(212) 555-0100"),
        ("(212) 555-0100", "(212) 555-0100"),
        ("+44 20 7946 0000", "+44 20 7946 0000"),
        ("212-555-0100 ext. 4", "212-555-0100 ext. 4"),
        ("", ""),
    ],
)
def test_phones(raw: str, said: str) -> None:
    assert say_phone(raw) == said


@pytest.mark.parametrize(
    ("text", "units", "segments"),
    [
        ("", 0, 1),
        ("a" * 160, 160, 1),
        ("a" * 161, 161, 2),
        ("a" * 306, 306, 2),
        ("a" * 307, 307, 3),
        ("€" * 80, 160, 1),
        ("[" + "a" * 159, 161, 2),
        ("¿é ñ ü?" + "a" * 153, 160, 1),
        ("á" * 70, 70, 1),
        ("á" + "a" * 70, 71, 2),
        ("👍" * 35, 70, 1),
        ("👍" * 36, 72, 2),
        ("’", 1, 1),
    ],
)
def test_units_and_segments(text: str, units: int, segments: int) -> None:
    assert (gsm7.units(text), gsm7.segments(text)) == (units, segments)


def test_the_alphabet_has_the_spanish_letters_it_has() -> None:
    assert gsm7.foreign("Él pidió una cita más: ¿miércoles, a las dos, señor Güell? ÁÍÓÚ") == "óáÁÍÓÚ"
    assert len(gsm7.BASIC) == 127  # 128 places, one of which is the escape
