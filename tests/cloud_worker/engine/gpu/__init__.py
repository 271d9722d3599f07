"""The GPU path without a GPU: kernels in the interpreter of Triton, and compiled for devices that are not here."""
