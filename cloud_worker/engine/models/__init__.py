"""Torch modules of the architectures that the engine can load, one file per architecture."""
