"""The wire: protobuf stubs, the model card, tensors on the wire, and errors as status codes."""
