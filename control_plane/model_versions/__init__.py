"""Registered model versions: which manifests this installation knows, and which ones a node may offer."""
