"""Tests of the faces, by the real command."""
