"""A module that is not installed, and which extra brings it."""

from __future__ import annotations

# Extra -> the third-party modules that it brings. Of several, a part's own is named, or the first.
EXTRAS = {
    "analyzer": ("onnx",),
    "server": (
        *("onnx", "onnxruntime", "cryptography", "grpc_reflection", "opentelemetry"),
        *("prometheus_client", "pyvips", "tomlkit", "watchfiles"),
    ),
    "exporter": ("onnx", "onnxruntime", "onnxscript", "safetensors", "torch"),
    "report": ("jinja2",),
    "parquet": ("pyarrow",),
    "video": ("av",),
    "web": ("gradio",),
    "ray": ("ray",),
}


def extra_of(error: Exception, part: str) -> str | None:
    """The extra that brings the module that is missing; None where the error is another.

    Args:
        error: whatever was raised.
        part: the extra that is named first, for it brings all that its commands need; "" for none.
    """
    missing = missing_module(error)
    brought = [extra for extra, modules in EXTRAS.items() if missing in modules]
    return part if part in brought else next(iter(brought), None)


def missing_module(error: Exception) -> str:
    """The top-level module that is missing, by its name; "" where the error is another."""
    name = error.name if isinstance(error, ModuleNotFoundError) else None
    return (name or "").partition(".")[0]
