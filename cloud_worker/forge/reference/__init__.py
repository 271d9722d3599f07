"""One run of the forge for the reference family, from tokenizer to cards, in stages."""
