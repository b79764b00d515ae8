"""Verified monthly exports of a source's old rows."""
