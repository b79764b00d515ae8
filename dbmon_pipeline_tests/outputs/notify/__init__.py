"""Tests of how people are told."""
