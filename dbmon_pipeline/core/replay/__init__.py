"""Rules replayed over the past, and the limits that they would have wanted."""
