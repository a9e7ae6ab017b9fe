"""Execution providers: what ONNX Runtime runs a network with, and how exactly it computes.

ONNX Runtime falls back to the processor in silence where a provider cannot be had. Nobody asked for
that: here it is an error that says what to install.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import onnxruntime as ort

from anyres_server.errors import ProviderMissing
from anyres_server.model import Execution
from anyres_server.settings.per_model import ModelSettings
from anyres_server.settings.sections import Compute

Options: TypeAlias = Mapping[str, str]


@dataclass(frozen=True)
class Provider:
    """One of them.

    Attributes:
        runtime: ONNX Runtime's name for it.
        package: that brings it; each replaces the others.
        extra: of this project that names the package.
        precisions: the ways in which it can compute, the exact one first.
        options: ONNX Runtime's, for an execution of so many threads, several runs at once or not.
    """

    runtime: str
    package: str
    extra: str
    precisions: tuple[str, ...]
    options: Callable[[Execution, int, bool], Options]

    @property
    def available(self) -> bool:
        """Whether the ONNX Runtime that is installed has it; the machine may yet lack a device."""
        return self.runtime in ort.get_available_providers()


def _cpu(_: Execution, threads: int, narrow: bool) -> Options:
    return {}


def _openvino(execution: Execution, threads: int, narrow: bool) -> Options:
    """Precision and threads go in OpenVINO's own properties of the device.

    Source: ONNX Runtime's page of the provider (`load_config`), OpenVINO's of the CPU device. A run
    of several streams keeps to one of them, so that as many run at once.
    """
    device = execution.options.get("device_type", "CPU")
    properties: dict[str, str | int] = {"INFERENCE_PRECISION_HINT": execution.precision}
    if device == "CPU":
        properties["INFERENCE_NUM_THREADS"] = threads
        if narrow:
            properties["NUM_STREAMS"] = threads
    return {"device_type": device, "load_config": json.dumps({device: properties})}


def _cuda(execution: Execution, threads: int, narrow: bool) -> Options:
    """TensorFloat-32 rounds the factors of products to 10 bits; ONNX Runtime has it on."""
    return {"use_tf32": str(int(execution.precision == "tf32"))}


PROVIDERS = {
    "cpu": Provider("CPUExecutionProvider", "onnxruntime", "server", ("f32",), _cpu),
    "openvino": Provider(
        "OpenVINOExecutionProvider", "onnxruntime-openvino", "openvino", ("f32", "bf16"), _openvino
    ),
    "cuda": Provider("CUDAExecutionProvider", "onnxruntime-gpu", "cuda", ("f32", "tf32"), _cuda),
}


def execution_of(usual: Compute, own: ModelSettings) -> Execution:
    """How a model is run: as its own settings say, and where they are silent as the server's do.

    A provider of its own brings its own precision and options: those of another mean nothing to it.
    """
    same = own.provider in {None, usual.provider}
    return Execution(
        own.provider or usual.provider,
        own.precision or (usual.precision if same else "f32"),
        usual.spin,
        own.options if own.options is not None else (usual.options if same else {}),
    )


def provider_of(execution: Execution) -> Provider:
    """The provider of an execution.

    Raises:
        ProviderMissing: nobody knows it, it is not installed, or it cannot compute like that.
    """
    name = execution.provider
    provider = PROVIDERS.get(name)
    if provider is None:
        raise ProviderMissing(f"there is no provider {name!r}; there are {', '.join(PROVIDERS)}")
    if not provider.available:
        raise ProviderMissing(
            f"the provider {name!r} is asked for, and the ONNX Runtime that is installed has "
            f"{' and '.join(installed())} only; {provider.package} brings it, in its place: "
            f"pip uninstall {_package()}; pip install 'anyres[{provider.extra}]'"
        )
    if name == "cpu" and execution.options:
        raise ProviderMissing(
            f"the provider 'cpu' takes no options; got {', '.join(execution.options)}"
        )
    if execution.precision not in provider.precisions:
        raise ProviderMissing(
            f"the provider {name!r} computes in {' or '.join(provider.precisions)}, "
            f"not in {execution.precision!r}"
        )
    return provider


def installed() -> tuple[str, ...]:
    """The names of those that the installed ONNX Runtime has."""
    return tuple(name for name, provider in PROVIDERS.items() if provider.available)


def asked_of(execution: Execution, threads: int, *, narrow: bool) -> tuple[str, dict[str, str]]:
    """What a session is opened with: ONNX Runtime's name, and options; those given go first."""
    provider = provider_of(execution)
    return provider.runtime, {
        **provider.options(execution, threads, narrow),
        **execution.options,
    }


def _package() -> str:
    """The one that is installed: all bring the processor's provider."""
    return [provider.package for provider in PROVIDERS.values() if provider.available][-1]
