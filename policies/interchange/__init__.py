"""Policies of other engines as RoutingPolicy documents, and ours as theirs. Text in, text and a list of losses out."""

from policies.interchange.bifrost import import_bifrost
from policies.interchange.cel_export import export_cel_policy
from policies.interchange.cel_policy import import_cel_policy
from policies.interchange.litellm import import_litellm
from policies.interchange.report import Exported, Imported, Unmapped

__all__ = [
    "Exported",
    "Imported",
    "Unmapped",
    "export_cel_policy",
    "import_bifrost",
    "import_cel_policy",
    "import_litellm",
]
