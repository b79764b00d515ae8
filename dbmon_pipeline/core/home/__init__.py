"""Layout of a home, and the lock that makes one process its writer."""
