"""Machine learning engineering: an action is a program, its price is compute, its outcome a score on unseen data."""
