"""What happened, as values; and those who count, log and trace it."""
