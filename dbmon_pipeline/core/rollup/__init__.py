"""Rolling up: days read, cleaned, rolled up and reconciled."""
