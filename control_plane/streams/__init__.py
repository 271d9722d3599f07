"""The token log behind the gateway: one Valkey stream per answer, every change one Lua script. No SQL, no HTTP here."""
