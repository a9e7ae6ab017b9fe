"""`inference.GRPCInferenceService`: the Open Inference Protocol and its extensions."""
