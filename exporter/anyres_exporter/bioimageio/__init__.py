"""What a model's axes are called at bioimage.io, model format 0.5."""
