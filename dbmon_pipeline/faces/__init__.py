"""Thin faces over the core: they parse, call and print, and compute nothing themselves."""
