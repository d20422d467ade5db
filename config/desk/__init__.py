"""The front desk's site: Django's admin with the screens that show several layers at once."""
