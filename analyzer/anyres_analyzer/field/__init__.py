"""What an output pixel sees of the image, and which nodes break locality."""
