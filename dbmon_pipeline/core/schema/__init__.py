"""Schema: the columns of an execution, the published tables, and the manifest of a generation."""
