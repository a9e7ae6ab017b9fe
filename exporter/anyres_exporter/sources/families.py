"""Models of libraries that people have installed, by name, and what those know about them.

    zoo:unet                         our own; see zoo/catalogue.py
    timm:resnet18                    timm.create_model
    torchvision:resnet18             torchvision.models.get_model
    smp:Unet/resnet18                segmentation_models_pytorch.create_model(arch, encoder)

Weights are never downloaded: a checkpoint is given, or the weights are random. What a library
knows about its model's input (size, mean, std) and its classes is taken over where nothing else is
said.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import nn

from anyres_exporter.errors import BadRecipe
from anyres_exporter.sources.factory import called, said

Fields = dict[str, Any]  # of a recipe


@dataclass(frozen=True)
class Family:
    """A library: how it makes a model of a name, and what it knows about it."""

    module: str
    package: str  # as pip calls it
    make: Callable[[ModuleType, str], Callable[..., Any]]
    known: Callable[[ModuleType, str], Fields]


def is_family(target: str) -> bool:
    """Whether a target names a library's model."""
    return target.partition(":")[0] in FAMILIES


def from_family(target: str, arguments: Mapping[str, Any]) -> nn.Module:
    """A library's model with random weights.

    Raises:
        BadRecipe: the library is not installed, has no such model, or refuses the arguments.
    """
    family, library, name = _found(target)
    return called(target, family.make(library, name), arguments)


def known(target: str) -> Fields:
    """What the library knows: some fields of a recipe.

    Raises:
        BadRecipe: the library is not installed, or has no such model.
    """
    family, library, name = _found(target)
    try:
        fields = family.known(library, name)
    except Exception as error:
        why = str(error) if isinstance(error, ValueError) else said(error)
        raise BadRecipe(f"{family.package} has no model '{name}': {why}") from error
    return {"name": re.sub(r"[^A-Za-z0-9_.-]", "_", name).lower()} | fields


def _found(target: str) -> tuple[Family, ModuleType, str]:
    prefix, _, name = target.partition(":")
    family = FAMILIES[prefix]
    try:
        _with_torchvision()  # the others import it
        return family, importlib.import_module(family.module), name
    except ModuleNotFoundError as error:
        raise BadRecipe(
            f"'{target}' needs {family.package}; install it: pip install {family.package}"
        ) from error


def _zoo(catalogue: ModuleType, name: str) -> Callable[..., Any]:
    factory: Callable[..., Any] = catalogue.CATALOGUE[name].factory
    return factory


def _zoo_known(catalogue: ModuleType, name: str) -> Fields:
    if name not in catalogue.CATALOGUE:
        raise ValueError(f"there are {', '.join(catalogue.CATALOGUE)}")
    entry = catalogue.CATALOGUE[name]
    channels = entry.channels
    image = {"channels": channels, "mean": (0.0,) * channels, "std": (1.0,) * channels}
    return {
        "task": entry.task,
        "size": entry.size,
        "dynamic": entry.dense,
        "meanings": entry.meanings,
        "input": image | ({"colour": "GRAY"} if channels == 1 else {}),
    }


def _timm(timm: ModuleType, name: str) -> Callable[..., Any]:
    return partial(timm.create_model, name, pretrained=False)


def _timm_known(timm: ModuleType, name: str) -> Fields:
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = ", ".join(timm.list_models(f"*{architecture[:6]}*")[:3])
        raise ValueError(f"unknown architecture{f'; near it: {near}' if near else ''}")
    config = timm.models.get_pretrained_cfg(architecture)
    if tag:
        config = timm.models.get_pretrained_cfg(name) or config
    channels, height, width = config.input_size
    return {
        "task": "classification",
        "size": (height, width),
        "input": {"channels": channels, "mean": config.mean, "std": config.std},
        "classes": _imagenet(timm, config),
    }


def _imagenet(timm: ModuleType, config: Any) -> list[Fields]:
    """The names of the classes, where they are those of ImageNet."""
    data = importlib.import_module(f"{timm.__name__}.data")
    subset = data.infer_imagenet_subset(config)
    if subset is None:
        return []
    information = data.ImageNetInfo(subset)
    count = information.num_classes()
    return [{"name": information.index_to_description(index)} for index in range(count)]


def _torchvision(torchvision: ModuleType, name: str) -> Callable[..., Any]:
    """Without weights, for the backbone too: builders with one download its weights unasked."""
    builder = torchvision.models.get_model_builder(name)
    unasked = [key for key in inspect.signature(builder).parameters if key.startswith("weights")]
    return partial(builder, **dict.fromkeys(unasked))


def _torchvision_known(torchvision: ModuleType, name: str) -> Fields:
    models = torchvision.models
    weights = models.get_model_weights(name).DEFAULT
    transforms = weights.transforms()
    size = getattr(transforms, "crop_size", getattr(transforms, "resize_size", [224]))
    dense = ".segmentation." in models.get_model_builder(name).__module__
    fields: Fields = {
        "task": "segmentation" if dense else "classification",
        "size": tuple(size) * 2 if len(size) == 1 else tuple(size),
        "classes": [{"name": name} for name in weights.meta.get("categories", ())],
    }
    if hasattr(transforms, "mean"):
        fields["input"] = {"mean": transforms.mean, "std": transforms.std}
    return fields


def _smp(smp: ModuleType, name: str) -> Callable[..., Any]:
    architecture, _, encoder = name.partition("/")
    named = {"encoder_name": encoder} if encoder else {}
    return partial(smp.create_model, architecture, encoder_weights=None, **named)


_OF_TIMM = "tu-"


def _smp_known(smp: ModuleType, name: str) -> Fields:
    """An encoder's preprocessing is that of weights trained on ImageNet, which are not loaded."""
    architecture, _, encoder = name.partition("/")
    if architecture.lower() not in smp.MODEL_ARCHITECTURES_MAPPING:
        raise ValueError(f"there are {', '.join(smp.MODEL_ARCHITECTURES_MAPPING)}")
    if encoder not in {"", *smp.encoders.encoders} and not encoder.startswith(_OF_TIMM):
        raise ValueError(f"unknown encoder; {_OF_TIMM}NAME takes one of timm's")
    return {"task": "segmentation", "size": (256, 256)}


def _with_torchvision() -> None:
    """Import torchvision, if it is there, even without its compiled operators.

    Where its binary was built for another torch (for CUDA, beside one for the CPU), it cannot say
    anything about those operators, and the import fails. They choose boxes, which no graph of any
    size can hold; their names are enough for everything else.
    """
    if "torchvision" in sys.modules or find_spec("torchvision") is None:
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        names = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for operator in ("nms", "qnms"):
            names.define(f"{operator}(Tensor dets, Tensor scores, float threshold) -> Tensor")  # type: ignore[no-untyped-call]
        _KEPT.append(names)
        importlib.import_module("torchvision")


_KEPT: list[torch.library.Library] = []  # names live as long as what defined them


FAMILIES = {
    "zoo": Family("anyres_exporter.zoo.catalogue", "anyres", _zoo, _zoo_known),
    "timm": Family("timm", "timm", _timm, _timm_known),
    "torchvision": Family("torchvision", "torchvision", _torchvision, _torchvision_known),
    "smp": Family("segmentation_models_pytorch", "segmentation-models-pytorch", _smp, _smp_known),
}
