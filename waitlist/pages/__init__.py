"""What stands on the patients' pages, and who may answer on them."""
