"""The device's process: runs a quantized model, decides for itself when offline, reports telemetry. No torch."""
