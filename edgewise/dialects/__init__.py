"""The words clients speak: OpenAI chat requests in, chunks and completions out, SSE framing. Pure; no sockets."""
