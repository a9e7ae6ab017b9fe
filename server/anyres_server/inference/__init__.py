"""The one use case: an image of any size in, what the model says about every cell out."""
