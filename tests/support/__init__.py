"""What tests share: settings that make things small, servers, stand-ins, ways to look."""

from pathlib import Path

ROOT = Path(__file__).parents[2]  # of the checkout
