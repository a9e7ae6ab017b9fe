"""What people type: one command a file, its options apart from what it does."""
