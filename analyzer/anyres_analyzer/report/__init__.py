"""What an analysis says, for people and for programs."""
