"""The cases, a module each, with a `CASE`."""
