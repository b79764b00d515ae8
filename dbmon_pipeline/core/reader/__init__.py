"""The process in which everything that touches the source happens; others ask it by protocol."""
