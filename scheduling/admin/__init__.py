"""Staff's screens of the calendar. Importing the modules registers them."""

from scheduling.admin import access, blocks, calendar, outbox, people, practice, story, worklist

__all__ = ["access", "blocks", "calendar", "outbox", "people", "practice", "story", "worklist"]
