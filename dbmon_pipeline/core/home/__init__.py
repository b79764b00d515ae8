"""Where things lie in a home, and the lock that makes one process its writer."""
