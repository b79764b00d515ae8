"""The report: one page for people, and the same as JSON, made from what is published."""
