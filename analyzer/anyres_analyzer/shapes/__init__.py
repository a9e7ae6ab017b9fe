"""What every tensor's shape is at one size, or where that size stops."""
