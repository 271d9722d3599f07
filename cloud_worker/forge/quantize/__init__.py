"""Post-training quantization: a registry of methods, calibration, a ranking of sensitive layers, and one table."""
