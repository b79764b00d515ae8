"""A refresh: the source read and rolled up by the reader process, judged, and published."""
