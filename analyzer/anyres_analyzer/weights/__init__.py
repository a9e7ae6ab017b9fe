"""What each weight is for."""
