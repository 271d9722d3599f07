"""What keys and tenants may use, what they have reserved, and what they used: limits, exact counters, the ledger."""
