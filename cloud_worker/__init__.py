"""The cloud tier: a torch engine that serves streams (engine/) and the forge that makes models (forge/)."""
