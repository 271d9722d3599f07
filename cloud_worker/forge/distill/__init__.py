"""Distillation: the terms of the loss, the teacher's labels, and the parts of a training that use them."""
