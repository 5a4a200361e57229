"""Whatever a record says, tables and the report show it as it stands, and run none of it."""

from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from results_records import fid, record

from results.report.markup import html, inline
from results.report.page import page
from results.tabulate.cells import Table, code, linked, markdown, plain
from results.tabulate.write import ALL

NASTY = (
    "|", "a | b", '">', "<script>alert(1)</script>", "two\nlines", "`", "``a`", "**bold**", "_it_",
    "[a](https://evil.org)", "![x](https://evil.org/x.png)", "&lt;b&gt;", "&amp;", "~~a~~", "$a$",
    "\\", "\\|", "a\\", "<!-- end -->", "</td></tr></table>", "snake_case", "](x", "<br>",
    "a\rb\u2028c",
)  # fmt: skip


class Reader(HTMLParser):
    """What a browser would see: texts of cells by row, addresses, and the elements there are."""

    def __init__(self, content):
        super().__init__()
        self.rows, self.addresses, self.elements = [], [], []
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.addresses += [value for name, value in attrs if name in ("href", "src")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def by_markdown(text):
    """As GitHub renders it."""
    return Reader(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text))


def one_line(text):
    return " ".join(text.split())


def both(cell):
    """A cell between two others, as Markdown and as the report show it."""
    table = Table(["a", "b", "c"], [["x", cell, "y"]])
    return by_markdown(markdown(table)), Reader(html(table))


# Line feeds that HTML reads as one, and surrogates that no file holds.
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)


@given(WORDS)
@example("\\`*[]<>|&~$_ a_b _c_")
def test_any_text_is_shown_as_it_stands_in_one_cell(words):
    for seen in both(plain(words)):
        assert [cell.strip() for cell in seen.rows[-1]] == ["x", one_line(words), "y"]
        assert not {"a", "em", "strong", "code", "img", "script", "s"} & set(seen.elements)
        assert seen.addresses == []


@pytest.mark.parametrize("words", NASTY)
def test_a_text_in_code_or_in_a_link_stays_in_its_cell(words):
    shown = one_line(words.replace("`", " ")).replace("\\|", "|")  # which Markdown cannot say
    for seen in both(code(words) if shown else "x"):
        assert [cell.strip() for cell in seen.rows[-1]][::2] == ["x", "y"]
        assert shown in seen.rows[-1][1] or not shown
    for seen in both(linked(words, f"https://example.org/{one_line(words)}")):
        assert [cell.strip() for cell in seen.rows[-1]] == ["x", one_line(words), "y"]
        (address,) = seen.addresses
        assert address.startswith("https://example.org/")
        assert not set(address) & set('<>"|` ()')


def test_an_address_that_is_none_of_the_web_is_no_link():
    assert linked("x", "javascript:alert(1)") == "x"
    assert inline("[x](javascript:alert(1))") == "[x](javascript:alert(1))"


@pytest.mark.parametrize("pipe", ["a|b", "a\\|b", "`a|b`", "a\\\\|b", "a\nb"])
def test_what_a_table_is_given_ends_no_cell(pipe):
    """Also where it did not pass through `plain`, as heads and code do."""
    seen = by_markdown(markdown(Table(["h|ead", "b"], [["x", pipe]])))
    assert [len(row) for row in seen.rows] == [2, 2]


def records_that_say(words):
    """Records of every table, and the words wherever a text is."""
    settings = dict.fromkeys(("framework", "weights", "changes", "batch_size", "compile"), words)
    theirs = settings | {"url": f"https://example.org/{words}"}
    theirs.pop("changes")  # a run with changes stands in no row
    gpu = {"processor": words, "device": f"GPU {words}"}
    told = {"labels": words, "uint8": words, "resize": words}
    soak = {"num_kills": words, "num_run": words, "num_tests": 1, "seed": words, "seconds": 60}
    throughput = {"what": "bench/images_per_second", "settings": settings | {"model": words}}
    return [
        record(**throughput, machine=gpu, digest="0" * 16, detail=words),
        fid(settings=settings, protocol=told, machine=gpu, digest="1" * 16),
        fid(settings=theirs, subject=f"external:{words}", digest="2" * 16, protocol=told),
        record(subject="soak", what="soak/kills", settings=soak, machine=gpu, digest="3" * 16),
        record(what="verify/f|<b>/`x`", tolerance=2.0, machine=gpu, dtype="float64", interval=None),
        record(subject=words, what="evaluate/conditional_accuracy",
               settings={"training_seed": words}),
    ]  # fmt: skip


@pytest.mark.parametrize("words", NASTY)
def test_no_table_is_broken_by_a_text(words):
    for name, make in ALL.items():
        table = make(records_that_say(words))
        for seen in (by_markdown(markdown(table)), Reader(html(table))):
            assert {len(row) for row in seen.rows} == {len(table.heads)}, name
            assert not {"script", "img", "em", "strong", "b"} & set(seen.elements), name
            assert not any(address.startswith("https://evil") for address in seen.addresses), name


def test_the_report_is_not_broken_by_any_text():
    records = records_that_say(" ".join(NASTY))
    whole = Reader(page(records, [("jvp", "check", "sentence")]))
    assert whole.elements.count("script") == 1
    harmless = Reader(page(records_that_say("plain words"), [("jvp", "check", "sentence")]))
    assert whole.elements.count("section") == harmless.elements.count("section") > len(ALL) / 2
    assert not any(address.startswith("https://evil") for address in whole.addresses)
    every_record = "".join(cell for row in whole.rows for cell in row)
    assert "<script>alert(1)</script>" in every_record
