"""Pretraining methods: terms, each of which matches, samples, pools and compares."""
