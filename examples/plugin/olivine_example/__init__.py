"""An example of a package that plugs into OLIVINE: a small but complete example of each kind."""
