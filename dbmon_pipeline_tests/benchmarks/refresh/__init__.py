"""What a refresh, a question and a start cost, beside the plainest way and beside rivals."""
