"""Tests, in the rooms of the library; `support` is what they share."""
