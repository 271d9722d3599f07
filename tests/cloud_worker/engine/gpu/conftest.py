"""Where Triton cannot be installed, what needs its interpreter is left out."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = (
    [] if find_spec("triton") else ["test_attention.py", "test_decoder.py", "test_look.py", "test_compiled.py"]
)
