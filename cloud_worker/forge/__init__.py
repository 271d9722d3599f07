"""The forge: the curriculum, the tokenizer and the training, export and evaluation of the reference models."""
