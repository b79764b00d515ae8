"""The command line ``dbmon``: one module per group of commands, assembled in ``main``."""
