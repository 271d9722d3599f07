"""The device's model on ONNX Runtime: the graph and its buffers, one sequence, and the Engine that steps several."""

from edge_agent.runtime.engine import OnnxEngine

__all__ = ["OnnxEngine"]
