"""What to run: recipes, sweeps, their plans, searches, limits and estimates."""
