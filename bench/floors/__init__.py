"""What the product is measured against: the least code that does the named work, on the same Django and servers."""
