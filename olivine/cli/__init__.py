"""The commands of `olivine`: one small module each."""
