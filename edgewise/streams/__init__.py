"""The durable token stream, apart from where it is stored: entries, cursors, the StreamLog protocol, tailing, flushing."""
