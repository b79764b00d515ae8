"""The diagnosis of an installation; read-only."""
