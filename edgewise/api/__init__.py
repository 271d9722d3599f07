"""The OpenAI-compatible HTTP surface that control plane and edge agent share: plain ASGI and msgspec, no framework."""
