"""Seeing what happens: trace context, trails, spans, metrics, log lines, diagnostics. Imported by every process, so it
needs nothing heavy: the OpenTelemetry SDK is imported in otlp.py alone, and only where an exporter is configured.
"""
