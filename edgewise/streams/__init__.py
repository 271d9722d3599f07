"""The durable token stream apart from its storage: entries, cursors, the StreamLog protocol, writing, following."""
