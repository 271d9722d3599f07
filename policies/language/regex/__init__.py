"""Regular expressions in the syntax of RE2, searched in time linear in the text. Nothing here knows of the language."""

from policies.language.regex.errors import PatternError
from policies.language.regex.pattern import Pattern, compile

__all__ = ["Pattern", "PatternError", "compile"]
