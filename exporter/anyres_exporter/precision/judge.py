"""The guard: a variant passes where enough of its answers are fp32's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from anyres_exporter.precision.agreement import Measured, measured
from anyres_exporter.precision.halves import Half
from anyres_exporter.precision.maker import Maker
from anyres_exporter.precision.rescue import Kept, fewest, ranked
from anyres_exporter.runtime import Runtime
from anyres_proto.card import Output

LOOKED_AT, LOOKED_WINDOW = 2, 256  # pictures, and pixels a side, on which layers are ranked


@dataclass(frozen=True)
class Verdict:
    """A variant that keeps these layers in fp32, and how it compares."""

    kept: Kept
    measured: Measured
    passes: bool


@dataclass(frozen=True)
class Judge:
    """Compares variants of one model.

    Args:
        fp32: the model as it is.
        maker: makes its variants.
        outputs: what each of its outputs means.
        minimum: the share of answers that must agree.
    """

    fp32: Runtime
    maker: Maker
    outputs: tuple[Output, ...]
    minimum: float

    def verdict(self, kept: Kept, half: Half) -> Verdict:
        """Make a variant and compare it on these pictures.

        Raises:
            DoesNotRun: ONNX Runtime does not run it, or the model, on one of them.
        """
        found = measured(self.fp32, Runtime(self.maker.judged(kept)), half, self.outputs)
        return Verdict(kept, found, found.agreement >= self.minimum)

    def rescued(self, calibration: Half, held_out: Half, report: Callable[[str], None]) -> Verdict:
        """The variant that keeps the fewest layers in fp32 and passes; else with half of them."""
        layers = self.maker.layers
        report(f"looking which of {len(layers)} layers hurt")
        worst_first = ranked(self.maker, self.fp32, calibration.some(LOOKED_AT, LOOKED_WINDOW))

        def passes(kept: Kept, half: Half) -> bool:
            found = self.verdict(kept, half)
            share = f"{found.measured.agreement:.2%}"
            report(f"{len(kept)} of {len(layers)} layers in fp32: {share} of answers agree")
            return found.passes

        kept = fewest(
            worst_first, lambda kept: passes(kept, calibration), lambda kept: passes(kept, held_out)
        )
        return self.verdict(kept, held_out)
