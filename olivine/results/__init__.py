"""Results for readers: tables, reports, figures and comparisons of two runs."""
