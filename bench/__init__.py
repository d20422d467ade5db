"""Measurements of the running product, each beside a floor measured in the same run: ``python -m bench``.

Not part of the product: nothing imports this package, and it is not installed with it.
"""
