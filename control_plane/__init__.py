"""The control plane: keys, policies, model versions, decisions, node sessions and answers, one folder per feature.

Imports no torch and no onnxruntime. `app.py` wires; queries live in each folder's repository and nowhere else.
"""
