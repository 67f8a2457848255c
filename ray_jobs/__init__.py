"""What `ray job submit` runs: one entry point a stage, each with its command's arguments."""
