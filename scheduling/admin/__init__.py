"""Staff's screens of the calendar. Importing the modules registers them."""

from scheduling.admin import access, calendar, outbox, people, practice, story, worklist

__all__ = ["access", "calendar", "outbox", "people", "practice", "story", "worklist"]
