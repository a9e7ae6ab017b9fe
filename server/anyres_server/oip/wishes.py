"""What a request wants to be told: the network's own outputs, or what is made of them.

Of a tensor as the network takes it, the network's own outputs come as they are. Besides, and of
pictures and pixels alone, whatever `anyres.v1` tells can be asked for by its name in small letters:
`class_map`, `confidence`, `probabilities`, `mask_png` and so on. Where no output is named, a tensor
is answered with all of the network's, a picture with its `mask_png`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from anyres_proto.card import Output
from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_server.errors import InvalidRequest
from anyres_server.model import Model, OutputKind
from anyres_server.oip import datatypes, parameters
from anyres_server.oip.classification import check_scores
from anyres_server.oip.parameters import OF_OUTPUT, Parameters, check_known
from anyres_server.oip.shared_memory import Regions, Window
from anyres_server.oip.shown import all_quoted, quoted
from anyres_server.reduction.views import told

KINDS: Mapping[str, OutputKind] = {kind.name.lower(): kind for kind in OutputKind}
_SUGGESTED = OutputKind.MASK_PNG  # its elements are files, so sizes may differ


@dataclass(frozen=True, eq=False)
class Wish:
    """One output, and how it is wanted."""

    name: str  # as it was asked for
    source: Output | OutputKind
    half: bool = False  # float32 as FP16
    classes: int = 0  # so many best classes as strings; 0: the numbers
    window: Window | None = None  # of shared memory, where they are to be put


def wishes(
    request: pb.ModelInferRequest, model: Model, regions: Regions, *, tensors: bool
) -> tuple[Wish, ...]:
    """The outputs that a request asks for, in its order.

    Args:
        request: it.
        model: whose outputs.
        regions: of shared memory.
        tensors: whether the input is as the network takes it.

    Raises:
        InvalidRequest: the model does not have them, or cannot give them in the wanted way.
        RegionNotFound: one is to be put into a region that is not registered.
    """
    own = {output.name: output for output in model.card.outputs} if tensors else {}
    names = [output.name for output in request.outputs]
    _check_names(names, model, own)
    if not names:
        half = _half(request.parameters)
        sources = tuple(own.items()) or ((_SUGGESTED.name.lower(), _SUGGESTED),)
        return tuple(Wish(name, source, half) for name, source in sources)
    found = tuple(
        _wish(output, _source(output.name, model, own), request.parameters, model, regions)
        for output in request.outputs
    )
    reduced = any(isinstance(wish.source, OutputKind) for wish in found)
    return tuple(_made(wish, model) for wish in found) if reduced else found


def _check_names(names: list[str], model: Model, own: Mapping[str, Output]) -> None:
    """Each is there, and asked for once; a list of thousands is read no further than needed."""
    known = {*own, *KINDS, *_scores(model)}
    for name in names:
        if name not in known:
            raise InvalidRequest(
                f"model {model.name!r} has no output {quoted(name)}; {_there(model, own)}"
            )
    if len(names) > len(set(names)):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidRequest(f"output {quoted(twice)} is asked for {names.count(twice)} times")


def _there(model: Model, own: Mapping[str, Output]) -> str:
    """What there is instead."""
    names = tuple(own) or _scores(model)
    made = ", ".join(name for name, kind in KINDS.items() if told(model.card, kind))
    return f"there {'is' if len(names) == 1 else 'are'} {all_quoted(names)} and, besides, {made}"


def _scores(model: Model) -> tuple[str, ...]:
    """The output that `logits` are, by its own name."""
    return (model.card.scores.name,) if model.card.scores else ()


def _source(name: str, model: Model, own: Mapping[str, Output]) -> Output | OutputKind:
    if name in own:
        return own[name]
    return KINDS.get(name, OutputKind.LOGITS)


def _wish(
    output: pb.ModelInferRequest.InferRequestedOutputTensor,
    source: Output | OutputKind,
    of_request: Parameters,
    model: Model,
    regions: Regions,
) -> Wish:
    given, owner = output.parameters, f"output {quoted(output.name)}"
    check_known(given, OF_OUTPUT, owner)
    classes = parameters.number(given, "classification")
    window = regions.named(given, owner)
    if classes == 0:
        raise InvalidRequest(f"{owner} asks for 0 classes; expected at least 1")
    if classes and window:
        raise InvalidRequest(f"{owner} is wanted as class strings, which no region holds")
    if window and not window.region.writable:
        raise InvalidRequest(
            f"{owner} is to be put into region {quoted(window.region.name)}, "
            f"whose memory may only be read"
        )
    if classes:
        check_scores(owner, _scored(source, model))
    half = _half(given) or _half(of_request)
    return Wish(output.name, source, half, classes or 0, window)


def _scored(source: Output | OutputKind, model: Model) -> Output | None:
    """The output whose scores are meant; None where it is something else."""
    if isinstance(source, Output):
        return source
    return model.card.scores if source in (OutputKind.LOGITS, OutputKind.PROBABILITIES) else None


def _half(given: Parameters) -> bool:
    """Whether numbers are wanted as FP16."""
    wanted = parameters.text(given, "output_datatype")
    if wanted not in (None, datatypes.FP16.name, datatypes.FP32.name):
        raise InvalidRequest(f"output_datatype is FP16 or FP32; got {quoted(wanted or '')}")
    return wanted == datatypes.FP16.name


def _made(wish: Wish, model: Model) -> Wish:
    """The same, where something is made of the outputs: the network's own are its scores."""
    if isinstance(wish.source, OutputKind):
        return wish
    if wish.source != model.card.scores:
        raise InvalidRequest(
            f"output {quoted(wish.name)} is not asked for together with what is made of the "
            f"scores; send two requests"
        )
    return as_scores(wish)


def as_scores(wish: Wish) -> Wish:
    """The same wish for the network's scores, as they are told of images of any size."""
    return replace(wish, source=OutputKind.LOGITS)
