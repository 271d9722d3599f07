"""The engine's model on a GPU: paged attention by Triton, calls of fixed sizes, captured ones replayed."""
