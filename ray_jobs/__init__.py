"""Entry points of `ray job submit`: one per stage, with the arguments of its command."""
