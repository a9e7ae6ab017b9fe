"""How right a model is on labelled pictures: classes by pixel, classes by picture, or numbers."""
