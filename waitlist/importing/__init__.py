"""The practice's spreadsheet becomes entries: read, understand the columns, check each row, add all or nothing."""
