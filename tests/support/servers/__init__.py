"""Servers of our own that tests start: a bucket, a tracking server, a database."""
