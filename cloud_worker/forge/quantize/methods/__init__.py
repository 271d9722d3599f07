"""Methods of quantization: base.py has the protocol, registry.py the rows, every other file one method."""
