"""The pipeline from the source to a published generation, through a warehouse file."""
