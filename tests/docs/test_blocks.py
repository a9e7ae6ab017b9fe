"""How pages are read: a mistake on a page is an error that says where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.docs.blocks import Printed, blocks
from tests.docs.reader import Reader

Read = Callable[[str], Reader]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads an invented page, as if somebody typed what it says."""

    def page(text: str) -> Reader:
        (tmp_path / "page.md").write_text(text)
        reader = Reader(tmp_path, lambda folder, memory: "127.0.0.1:1")
        for block in blocks(tmp_path / "page.md"):
            reader = reader.follow(block)
        return reader

    return page


def test_what_is_printed_as_shown_is_fine(read: Read) -> None:
    read("```sh\necho one\necho two\n```\n\n```text\none\ntwo\n```\n")


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("```sh\necho one\n```\n```text\ntwo\n```\n", "page.md:1: the page shows\ntwo"),
        ("```sh\nfalse\necho one\n```\n", "page.md:1: exits with 1, not 0"),
        ("\n```sh\nfalse | cat\n```\n", "page.md:2: exits with 1, not 0"),
        ("<!-- exits with 2: why -->\n```sh\ntrue\n```\n", "exits with 0, not 2"),
        ("```python\nraise ValueError('torn')\n```\n", "ValueError: torn"),
        ("```sh\nanyres serve models --no-such-flag\n```\n", "a server is served by a line like"),
    ],
)
def test_what_is_not_so_is_said(read: Read, page: str, said: str) -> None:
    with pytest.raises(AssertionError) as wrong:
        read(page)
    assert said in str(wrong.value)


def test_a_comment_that_nobody_knows_is_an_error(read: Read) -> None:
    with pytest.raises(ValueError, match=r"page\.md:2: a comment before a block that says nothing"):
        read("<!-- not ran: it is long -->\n```sh\nfalse\n```\n")


def test_what_cannot_be_run_is_not(read: Read) -> None:
    read("<!-- not run: it needs the moon -->\n```sh\nfalse\n```\n")


def test_a_block_with_a_title_is_a_file_that_what_follows_finds(read: Read) -> None:
    read('```toml title="a.toml"\nx = 1\n```\n```sh\ncat a.toml\n```\n```text\nx = 1\n```\n')


def test_text_that_does_not_stand_directly_behind_is_nobodys_output(read: Read) -> None:
    read("```sh\necho one\n```\n\nSome words.\n\n```text\ntwo\n```\n")


def test_what_goes_on_for_ever_is_ended_once_it_has_printed_what_is_shown(read: Read) -> None:
    endless = "<!-- until Ctrl-C -->\n<!-- exits with 130: so does bash -->\n```sh\n{}\n```\n"
    script = "trap 'exit 130' INT; echo here I am; sleep 60"
    read(endless.format(script) + "```text\nhere I am\n```\n")


def test_what_follows_a_server_asks_it_and_is_shown_the_address_of_the_page(read: Read) -> None:
    read(
        "```sh\nanyres serve models --port 8001\n```\n"
        "```sh\ntest $ANYRES_SERVER = 127.0.0.1:1\necho $ANYRES_SERVER localhost:8001\n```\n"
        "```text\nlocalhost:8001 localhost:8001\n```\n"
    )


@pytest.mark.parametrize(
    ("shown", "output", "same"),
    [
        ("a\nb\n", "a  \nb\n", True),
        ("a\nb\n", "before\na\nb\nafter\n", True),
        ("a\nb\n", "a\nbetween\nb\n", False),
        ("a\n...\nb\n", "a\nbetween\nb\n", True),
        ("...\nb\n", "a\nb\n", True),
        ("a\n...\nb\n", "b\na\n", False),
        ("a 1\n", "a 2\n", False),
        ("a\n", "aa\n", False),
        ("a.c\n", "abc\n", False),
    ],
)
def test_lines_are_those_that_are_shown(shown: str, output: str, same: bool) -> None:
    assert Printed(shown).matches(output) is same


@pytest.mark.parametrize(
    ("shown", "output", "same"),
    [
        ("took 1.5 s at 2.4e-07\n", "took 30 s at 1e-9\n", True),
        ("64x64  12%\n", "1,024x8 3%  \n", True),
        ("a    1\n", "a 22222\n", True),
        ("Conv_810 7\n", "Conv_811 7\n", False),
        ("ocean 7 %\n", "polar 7 %\n", False),
        ("7 of 8\n", "7 8\n", False),
    ],
)
def test_where_numbers_vary_words_do_not(shown: str, output: str, same: bool) -> None:
    assert Printed(shown, numbers_vary=True).matches(output) is same
