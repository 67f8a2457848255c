"""User code: installed packages and single files, found, hashed and imported."""
