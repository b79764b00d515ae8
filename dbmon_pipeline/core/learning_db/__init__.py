"""Learning databases that dbmon creates: empty, from a sample, or loaded from files."""
