"""The device's model on ONNX Runtime: sequences, their slots and drafts, and the Engine that steps them."""

from edge_agent.runtime.engine import OnnxEngine

__all__ = ["OnnxEngine"]
