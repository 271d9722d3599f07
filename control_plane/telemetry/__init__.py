"""What nodes reported, record by record: kept exactly once, up to so many records of each node."""
