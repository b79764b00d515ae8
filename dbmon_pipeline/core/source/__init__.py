"""The source: the kinds of source, reading a live file, the schema contract, redaction."""
