"""Checks of the house itself: what each extra brings, alone."""
