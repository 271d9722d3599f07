"""Forge jobs in the product: a process that claims them over HTTP and runs each body in a child process."""
