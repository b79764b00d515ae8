"""Questions in, answers out, over what is published or over a database."""
