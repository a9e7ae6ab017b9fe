"""`anyres card`: what a stamp writes into a foreign model's file, and what it leaves alone."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx.external_data_helper import convert_model_to_external_data

from anyres_analyzer import analyze
from anyres_client.main import main
from anyres_proto.card import METADATA_KEY, AxisContract, Card, Proof, Term

PROOF = Proof(batch=1, height=32, width=48, max_abs_error=1e-6, max_rel_error=2e-6)


@pytest.fixture
def anyres(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """`anyres("stamp", path)`: exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object) -> tuple[int, str, str]:
        code = main(["card", *map(str, words)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def metadata(path: Path) -> dict[str, str]:
    model = onnx.load_model(path, load_external_data=False)
    assert len({entry.key for entry in model.metadata_props}) == len(model.metadata_props)
    return {entry.key: entry.value for entry in model.metadata_props}


def card_in(path: Path) -> Card:
    return Card.model_validate_json(metadata(path)[METADATA_KEY])


@pytest.fixture
def proven(foreign: Any, anyres: Any) -> Path:
    """A file with a card that says what was proven, as `anyres export` writes."""
    path: Path = foreign("unet")
    anyres("stamp", path)
    card = card_in(path).model_copy(update={"proofs": (PROOF,), "provenance": {"from": "a test"}})
    return Path(foreign("unet", **{METADATA_KEY: card.model_dump_json()}))


@pytest.fixture
def scattered(tmp_path: Path, foreign: Any) -> Path:
    """A model whose weights lie in a file beside it."""
    model = onnx.load_model(foreign("unet"))
    convert_model_to_external_data(model, location="unet.data", size_threshold=0)
    path = tmp_path / "scattered" / "unet.onnx"
    path.parent.mkdir()
    onnx.save_model(model, path)
    return path


def test_a_stamp_changes_nothing_but_the_metadata(foreign: Any, anyres: Any) -> None:
    path = foreign("unet", author="someone", note="keep me")
    before = onnx.load_model(path)
    assert anyres("stamp", path)[0] == 0
    after = onnx.load_model(path)
    assert after.graph.SerializeToString() == before.graph.SerializeToString()
    assert metadata(path).keys() == {"author", "note", METADATA_KEY}
    assert metadata(path)["note"] == "keep me"
    del before.metadata_props[:], after.metadata_props[:]
    assert after == before


def test_the_bytes_before_the_card_are_the_bytes_of_the_file(foreign: Any, anyres: Any) -> None:
    path = foreign("unet")
    before = path.read_bytes()
    anyres("stamp", path)
    first = path.read_bytes()
    assert first.startswith(before)
    anyres("stamp", path, "--description", "another")
    assert path.read_bytes().startswith(before)
    anyres("stamp", path, "--description", "")
    assert path.read_bytes() == first


def test_a_card_says_what_the_analyzer_finds(foreign: Any, anyres: Any) -> None:
    path = foreign("unet")
    anyres("stamp", path)
    card, analysis = card_in(path), analyze(path)
    assert card.name == "unet"
    assert card.sizes.height == AxisContract.model_validate(analysis.sizes.height)
    assert card.receptive_field is not None
    assert analysis.receptive_field is not None
    assert card.receptive_field.width.high == analysis.receptive_field.width.high
    assert card.tiling.height is not None
    assert (card.tiling.height.alignment, card.tiling.height.halo_before) == (2, 5)
    assert card.parameters == sum(w.parameters for w in analysis.weights)
    assert (card.output.name, card.output.channels, card.output.dense) == ("scores", 2, True)


@pytest.mark.parametrize("network", ["unet", "lopsided", "rounds_up", "head"])
def test_costs_are_those_of_the_sizes_and_the_formula_gives_others(
    foreign: Any, anyres: Any, network: str
) -> None:
    path = foreign(network)
    anyres("stamp", path)
    cost, analysis = card_in(path).cost, analyze(path)
    assert cost is not None
    assert cost.at
    for at in cost.at:
        counted = analysis.cost(at.height, at.width)
        assert (at.macs, at.activation_bytes) == (counted.macs, counted.activation_bytes)
    formula = cost.formula
    assert formula is not None
    steps = (3, 5) if network != "head" else (0, 0)
    width, height = (
        m + k * p for m, k, p in zip(formula.minimum, steps, formula.period, strict=True)
    )
    assert (width % formula.period[0], height % formula.period[1]) == formula.remainder
    counted = analysis.cost(height, width)
    assert evaluated(formula.macs, height, width) == counted.macs
    peaks = [evaluated(terms, height, width) for terms in formula.activation_bytes]
    assert max(peaks) == counted.activation_bytes


def evaluated(terms: tuple[Term, ...], height: int, width: int) -> Fraction:
    return sum((t.coefficient * height**t.height * width**t.width for t in terms), Fraction(0))


def test_a_stamp_proves_nothing_and_names_what_it_assumes(foreign: Any, anyres: Any) -> None:
    path = foreign("unet")
    code, out, _ = anyres("stamp", path)
    assert code == 0
    assert "stamped as 'unet', not proven: width 2, 4, 6, ... (steps of 2), height" in out
    card = card_in(path)
    assert card.proofs == ()
    assert card.task == "unknown"
    assert card.provenance["card"] == "derived from the graph, not proven"
    assert card.provenance["assumed"] == (
        "input.colour, input.scale, input.mean, input.std, output.meaning"
    )


def test_what_is_told_stands_in_the_card_and_is_not_called_assumed(
    foreign: Any, anyres: Any, tmp_path: Path
) -> None:
    names = tmp_path / "names.txt"
    names.write_text("ocean\nice\n")
    path = foreign("unet")
    told: list[object] = ["--name", "zones", "--task", "segmentation", "--description", "a climate"]
    told += ["--classes", names, "--colour", "BGR", "--scale", "1/128", "--meaning", "values"]
    told += ["--mean", "1, 2,0.5", "--std", "2,2,1/4"]
    assert anyres("stamp", path, *told)[0] == 0
    card = card_in(path)
    assert (card.name, card.task, card.description) == ("zones", "segmentation", "a climate")
    assert [each.name for each in card.classes] == ["ocean", "ice"]
    assert (card.input.colour, card.input.scale, card.output.meaning) == ("BGR", 1 / 128, "values")
    assert (card.input.mean, card.input.std) == ((1.0, 2.0, 0.5), (2.0, 2.0, 0.25))
    assert "assumed" not in card.provenance


@pytest.mark.parametrize(
    ("network", "words", "meaning"),
    [
        ("unet", [], "logits"),
        ("head", [], "probabilities"),
        ("unet", ["--task", "regression"], "values"),
        ("head", ["--meaning", "logits"], "logits"),
    ],
)
def test_what_the_numbers_mean_follows_from_the_last_layer(
    foreign: Any, anyres: Any, network: str, words: list[str], meaning: str
) -> None:
    path = foreign(network)
    anyres("stamp", path, *words)
    assert card_in(path).output.meaning == meaning


@pytest.mark.parametrize(
    ("file", "name"), [("a b(1).onnx", "a_b_1_"), ("_x.y.onnx", "x.y"), ("__.onnx", "model")]
)
def test_a_name_is_made_of_the_files(
    foreign: Any, anyres: Any, tmp_path: Path, file: str, name: str
) -> None:
    anyres("stamp", foreign("unet", tmp_path / file))
    assert card_in(tmp_path / file).name == name


def test_a_proven_card_is_replaced_only_by_force(proven: Path, anyres: Any, foreign: Any) -> None:
    before = proven.read_bytes()
    code, _, err = anyres("stamp", proven)
    assert code == 2
    assert err == (
        f"anyres card: {proven} has a card that was proven at 1 size, and a stamp proves "
        "nothing; --force replaces it all the same\n"
    )
    assert proven.read_bytes() == before
    assert anyres("stamp", proven, "--force")[0] == 0
    assert card_in(proven).proofs == ()


def test_a_copy_neither_weakens_a_proven_card_nor_falls_on_one(
    proven: Path, anyres: Any, foreign: Any, tmp_path: Path
) -> None:
    other = foreign("lopsided")
    assert anyres("stamp", proven, "-o", tmp_path / "copy.onnx")[0] == 2
    assert not (tmp_path / "copy.onnx").exists()
    assert anyres("stamp", other, "-o", proven)[0] == 2
    assert card_in(proven).proofs == (PROOF,)


def test_proofs_of_a_card_that_is_newer_than_this_count_too(foreign: Any, anyres: Any) -> None:
    path = foreign("unet", **{METADATA_KEY: '{"schema_version": 9, "proofs": [{}, {}]}'})
    assert "proven at 2 sizes" in anyres("stamp", path)[2]
    assert anyres("stamp", foreign("unet", **{METADATA_KEY: "no card"}))[0] == 0


def test_external_weights_stay_where_they_are(scattered: Path, anyres: Any) -> None:
    data = scattered.with_name("unet.data")
    before, weights = data.stat(), onnx.load_model(scattered).graph.initializer[0].raw_data
    assert anyres("stamp", scattered)[0] == 0
    assert anyres("stamp", scattered, "-o", scattered.with_name("beside.onnx"))[0] == 0
    after = data.stat()
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)
    for path in (scattered, scattered.with_name("beside.onnx")):
        assert onnx.load_model(path).graph.initializer[0].raw_data == weights
        assert card_in(path).name == "unet"


def test_a_copy_would_lose_external_weights_so_it_is_refused(
    scattered: Path, anyres: Any, tmp_path: Path
) -> None:
    code, _, err = anyres("stamp", scattered, "-o", tmp_path / "alone.onnx")
    assert code == 2
    assert f"{scattered} keeps weights in 'unet.data' beside it, which a copy in" in err
    assert not (tmp_path / "alone.onnx").exists()


def test_a_file_that_holds_its_weights_is_copied_anywhere(
    foreign: Any, anyres: Any, tmp_path: Path
) -> None:
    path, copy = foreign("unet"), tmp_path / "new" / "folder" / "net.onnx"
    before = path.read_bytes()
    assert anyres("stamp", path, "-o", copy)[0] == 0
    assert path.read_bytes() == before
    assert copy.read_bytes().startswith(before)


def test_a_link_stays_a_link_and_rights_stay_rights(
    foreign: Any, anyres: Any, tmp_path: Path
) -> None:
    path, link = foreign("unet"), tmp_path / "link.onnx"
    path.chmod(0o640)
    link.symlink_to(path)
    assert anyres("stamp", link)[0] == 0
    assert link.is_symlink()
    assert card_in(path).name == "link"
    assert path.stat().st_mode & 0o777 == 0o640


def test_whoever_reads_the_file_meanwhile_reads_the_old_one(foreign: Any, anyres: Any) -> None:
    path = foreign("unet")
    before = path.read_bytes()
    with path.open("rb") as reader:
        assert reader.read(10) == before[:10]
        assert anyres("stamp", path)[0] == 0
        assert reader.read() == before[10:]


@contextmanager
def small_files() -> Iterator[None]:
    """No file may grow beyond 1000 bytes: a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_stamp_that_fails_halfway_leaves_everything_as_it_was(foreign: Any, anyres: Any) -> None:
    path = foreign("unet")
    before = path.read_bytes()
    with small_files():
        code, _, err = anyres("stamp", path)
    assert code == 2
    assert err.endswith(": File too large\n")
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--name", "a/b"], "name: String should match pattern"),
        (["--mean", "1,2"], "mean and std need 3 values, one a channel; got 2 and 3"),
        (["--std", "1,x,3"], "--std takes numbers, like 0.5 or 1/255; got 'x'"),
        (["--scale", "1/0"], "--scale takes numbers, like 0.5 or 1/255; got '1/0'"),
        (["--classes", "gone.txt"], "gone.txt, the classes: No such file"),
        (["--classes", "names.txt"], "3 classes were named; 'scores' has 2 channels, one a class"),
        (["--task", "art"], "Invalid value for '--task'"),
        (["--format", "yaml"], "Invalid value for '--format'"),
        (["-o", "."], "is a folder; name a file"),
        (["-o", "names.txt/net.onnx"], "cannot be written from"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_the_file(
    foreign: Any, anyres: Any, monkeypatch: Any, tmp_path: Path, words: list[str], said: str
) -> None:
    path = foreign("unet")
    before = path.read_bytes()
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    monkeypatch.chdir(tmp_path)
    code, out, err = anyres("stamp", path, *words)
    assert (code, out) == (2, "")
    assert err.startswith("anyres card: ")
    assert err.count("\n") == 1
    assert said in err
    assert path.read_bytes() == before


@pytest.mark.parametrize("command", ["stamp", "show"])
@pytest.mark.parametrize("content", [None, b"", b"no model at all"])
def test_what_is_no_model_gets_one_line(
    anyres: Any, tmp_path: Path, command: str, content: bytes | None
) -> None:
    path = tmp_path / "net.onnx"
    if content is not None:
        path.write_bytes(content)
    code, out, err = anyres(command, path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert str(path) in err


def test_a_file_without_a_card_is_told_how_to_get_one(foreign: Any, anyres: Any) -> None:
    path = foreign("unet")
    told = f"anyres card: {path} has no card; to write one: anyres card stamp {path}\n"
    for words in ([], ["--json"], ["--format", "bioimageio"]):
        assert anyres("show", path, *words) == (2, "", told)


def test_a_card_that_is_wrong_is_not_shown(foreign: Any, anyres: Any) -> None:
    path = foreign("unet", **{METADATA_KEY: "{}"})
    for words in ([], ["--json"]):
        code, out, err = anyres("show", path, *words)
        assert (code, out) == (2, "")
        assert err == f"anyres card: the card of {path} is wrong at name: Field required\n"


def test_json_is_the_card_exactly(proven: Path, anyres: Any) -> None:
    assert anyres("show", proven, "--json") == (0, f"{metadata(proven)[METADATA_KEY]}\n", "")


def test_a_person_reads_sizes_field_tiles_cost_proofs_and_provenance(
    foreign: Any, anyres: Any, proven: Path
) -> None:
    told = " ".join(anyres("show", proven)[1].split())
    for fact in (
        "unet task unknown, 768 parameters",
        "'image', 3 channels, RGB (pixel * 1/255 - (0, 0, 0)) / (1, 1, 1)",
        "'scores', 2 channels of logits: a map",
        "H, W stepped 2, 4, 6, ... (steps of 2)",
        "H, W 2 5 px 5 px",
        "224 x 224",
        "MACs 381 H W",
        "ONNX Runtime equals the original at 1 size; the worst error is 2.0e-06 of the largest "
        "value, at 48x32 (batch 1)",
        "from a test",
    ):
        assert fact in told


def test_a_stamped_card_is_shown_as_not_proven(foreign: Any, anyres: Any) -> None:
    path = foreign("squeezed")
    anyres("stamp", path)
    told = " ".join(anyres("show", path)[1].split())
    assert "Nothing: the card was derived from the graph and never compared." in told
    assert "No. What stands against it: 'a' (GlobalAveragePool): it pools the whole axis" in told
    assert "The whole image, or unknown" in told


@pytest.mark.parametrize("network", ["unet", "head", "lopsided", "squeezed"])
def test_a_card_is_shown_in_100_columns(
    foreign: Any, anyres: Any, network: str, tmp_path: Path
) -> None:
    path = foreign(network)
    anyres("stamp", path, "--name", "n" * 80, "--description", "[bold]words[/bold] " * 20)
    out = anyres("show", path)[1]
    assert max(map(len, out.splitlines())) <= 100
    assert "[bold]words" in out


def test_a_card_needs_neither_torch_nor_onnxruntime(foreign: Any) -> None:
    path = foreign("unet")
    code = (
        "import sys; sys.modules.update(torch=None, onnxruntime=None)\n"
        "from anyres_client.main import main\n"
        f"stamped = main(['card', 'stamp', {str(path)!r}, '--format', 'bioimageio'])\n"
        f"sys.exit(stamped or main(['card', 'show', {str(path)!r}, '--json']))"
    )
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(got.stdout.splitlines()[-1])["name"] == "unet"
