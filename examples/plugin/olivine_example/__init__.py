"""An example of a package that plugs into OLIVINE: one of everything, small but whole."""
