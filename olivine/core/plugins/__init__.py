"""Code of other people: installed packages and single files, found, hashed and imported."""
