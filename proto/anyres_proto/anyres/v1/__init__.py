"""The generated stubs of the package `anyres.v1`."""
