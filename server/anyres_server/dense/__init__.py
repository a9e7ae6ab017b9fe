"""`anyres.v1.DensePredictionService`: images of any size in, dense predictions out."""
