"""What an edge agent and a cloud worker share: the Engine shape, its driver, the session machine and its link."""
