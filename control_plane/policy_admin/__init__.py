"""Policy versions: immutable texts, which one is active, and the compiled one in memory that decides every request."""
