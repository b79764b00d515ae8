"""Changes: the source compared with the hour ledger, and what a refresh has to read again."""
