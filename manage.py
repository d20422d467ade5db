#!/usr/bin/env python
"""Django's command line for this project."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    if sys.argv[1:2] == ["migrate"]:
        # An index on a large table takes longer than any statement of a request may.
        os.environ.setdefault("DATABASE_STATEMENT_TIMEOUT_MS", "0")
    from django.core.management import execute_from_command_line

    from config.environment import SettingsProblem

    try:
        execute_from_command_line(sys.argv)
    except SettingsProblem as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
