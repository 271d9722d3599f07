"""One module per claim: each runs our part and its peers in one run and prints a table, or JSON with --json."""
