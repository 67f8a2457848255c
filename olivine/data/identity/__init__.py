"""The identity of a split's data: its tables, and the files that a stage reads of it."""
