"""Backup and restore: everything that a control plane knows in one archive that any of its databases can take.

A tar file holds the manifest, one file of JSON lines per table, open and unsealed streams, and keys.json; what is in it
does not depend on the database that it came from, so a backup of SQLite restores into PostgreSQL and the other way.
"""
