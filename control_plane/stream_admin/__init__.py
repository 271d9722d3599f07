"""Streams for operators: what is open, what ended, one in detail, stopping one. No text, unless asked and audited."""
