"""What every room needs: errors, settings, parts, storage, devices and progress."""
