"""The torch engine of a cloud worker. Models live in models/; nothing here knows SQL or the control plane."""
