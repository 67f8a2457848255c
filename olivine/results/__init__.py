"""What people read: tables, reports, figures, two runs side by side."""
