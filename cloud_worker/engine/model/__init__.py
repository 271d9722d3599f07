"""The model of the exact engine: tensors in, hidden states and logits out. Knows segments, and no requests."""
