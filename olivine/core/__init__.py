"""The base of all packages: errors, settings, parts, storage, devices and progress."""
