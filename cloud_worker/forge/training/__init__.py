"""Training of one model: rows, lessons, ranks, checkpoints. What is trained, and in which order, is reference/."""
