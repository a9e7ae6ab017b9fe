"""The generated stubs of the Open Inference Protocol, package `inference`."""
