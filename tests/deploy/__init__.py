"""Checks of deploy/: each file by the tool that can read it here, each name in it against what the code has."""
