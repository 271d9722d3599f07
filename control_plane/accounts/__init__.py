"""API keys: who is calling, for which tenant, in which user tier, with which roles.

A key is `ek_` and 43 base62 characters (256 random bits). At rest there is only its sha256: a slow password hash guards
secrets that people choose; one of 256 random bits cannot be guessed, whatever the hash.
"""
