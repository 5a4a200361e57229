"""The report follows from the records, and works in a browser: filters, sorts, fits a phone."""

import re
import shutil
import subprocess
from html import escape
from itertools import pairwise

import pytest
from colours import contrast
from results_records import fid

from results.published import all_published
from results.reading import read
from results.report import page as report
from results.report.markup import html
from results.report.page import write_page
from results.report.sections import CAPTIONS, SECTIONS
from results.tabulate.write import ALL
from verify.checks import sentences

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-logging=stderr", "--virtual-time-budget=3000",
)  # fmt: skip
CHECKS = sentences()
RECORDS = read()
# FIDs of every kind: here, by others, of other weights.
THEIRS = {"framework": "torch", "url": "https://example.org/x", "weights": "EMA 0.9995"}
MADE_UP = [
    fid(digest="0" * 16),
    fid(digest="1" * 16, subject="external:someone/port", settings=THEIRS, interval=None),
]
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def page(records):
    return report.page(records, CHECKS)


@pytest.fixture(scope="module")
def text():
    """The page of the committed records and of FIDs of every kind."""
    return page([*RECORDS, *MADE_UP])


def test_it_is_made_anew_byte_for_byte_and_changes_with_a_record(text, tmp_path):
    index = tmp_path / "index.html"
    write_page(CHECKS, index=index)
    assert index.read_text() == page(RECORDS) != text


def test_a_figure_that_is_missing_makes_another_page_and_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr("results.report.page.FIGURES", tmp_path)
    assert "data:image/svg+xml;base64," in page([])


def test_every_number_of_a_check_leads_to_its_record(text):
    (checks,) = re.findall(r'<section id="checks".*?</section>', text, re.DOTALL)
    targets = re.findall(r'href="#([0-9a-f]{16})"', checks)
    assert len(targets) > 400
    assert set(targets) <= set(re.findall(r'id="([0-9a-f]{16})"', text))


def test_a_check_that_failed_is_marked(text):
    what = "verify/jvp/jvp_matches_complex_step"
    newest = next(r for r in reversed(RECORDS) if r.what == what and r.tolerance)
    assert "number worse" not in text
    wrong = newest.model_copy(update={"value": 1.0})
    changed = page([wrong if record is newest else record for record in RECORDS])
    assert f'class="number worse" href="#{newest.digest}"' in changed


def test_it_needs_no_network(text):
    assert not re.search(r'(?:src|href)="(?!#|data:|https://)[^"]', text)
    assert not re.search(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="https?:', text)
    assert "@import" not in text
    assert "url(" not in text


# Numbers lead to where they come from

NUMBER = re.compile(r"\d")


def cells_of(text):
    """Section and HTML of every cell whose numbers are outcomes.

    Heads, and the first columns, which are heads of rows, say what a number is of: preset, epochs,
    batch, seed, check. A row of the section of records is itself a record.
    """
    found = []
    for name, section in re.findall(r'<section id="(\w+)".*?>(.*?)</section>', text, re.DOTALL):
        if name != "records":
            found += [(name, cell) for cell in re.findall(r"<td>(.*?)</td>", section)]
    return found


def outside_links(cell):
    """What a cell says besides its links, and besides addresses and titles."""
    return re.sub(r"<[^>]*>", "", re.sub(r"<a [^>]*>.*?</a>", "", cell))


def without_links(text):
    return [cell for cell in cells_of(text) if NUMBER.search(outside_links(cell[1]))]


def test_no_number_of_a_table_is_without_a_link_and_one_would_be_seen(text):
    assert len(cells_of(text)) > 500
    assert without_links(text) == []
    found = next(a for a in re.findall(r"<td><a [^>]*>[^<]*</a></td>", text) if NUMBER.search(a))
    assert without_links(text.replace(found, re.sub(r"<a [^>]*>|</a>", "", found))) != []


def test_every_link_leads_to_an_element_or_to_a_published_source(text):
    names = {f"#{name}" for name in re.findall(r'\sid="([^"]+)"', text)}
    sources = {number.source.url for number in all_published()}
    sources |= {str(record.settings.get("url")) for record in (*RECORDS, *MADE_UP)}
    assert set(re.findall(r'href="([^"]+)"', text)) <= names | sources


@pytest.mark.parametrize(
    "link",
    [
        f'<a href="#{"0" * 16}" title="11.4, 2026-01-01, Example CPU">11.40 (11.36 to 11.44)</a>',
        'Gsunshine/meanflow" title="FID: official JAX code, README">18.70</a>',
    ],
)
def test_a_link_says_of_what_a_number_is_and_leads_there(link):
    assert link in page(MADE_UP)


# Order, words and colours


def ids(text):
    return re.findall(r'<section id="(\w+)"', text)


def test_what_was_measured_comes_first_and_what_was_not_is_folded_into_a_sentence(text):
    here, by_others = fid(digest="0" * 16), MADE_UP[1]
    order = ids(page(RECORDS))
    assert order[-4:] == ["reproduction", "unmeasured", "checks", "records"]
    assert sorted(order[:-3]) == sorted(SECTIONS.keys() - {"fid", "accelerators", "gpu"})
    assert ids(page([here])) == ["reproduction", "fid", "unmeasured", "checks", "records"]
    assert ids(page([by_others])) == ["reproduction", "unmeasured", "checks", "records"]
    folded = page([])
    assert ids(folded) == ["unmeasured", "checks", "records"]
    (sentence,) = re.findall("<summary>(.*?)</summary>", folded)
    assert all(escape(section.title) in sentence for section in SECTIONS.values())


def test_every_section_has_its_link_and_headings_leave_out_no_level(text):
    (nav,) = re.findall("<nav.*?</nav>", text, re.DOTALL)
    assert re.findall(r'href="#(\w+)"', nav) == ids(text)
    levels = [int(level) for level in re.findall(r"<h(\d)", text)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))


def test_every_figure_is_shown_with_a_caption_and_an_alternative_text(text):
    assert set(CAPTIONS) == {figure for section in SECTIONS.values() for figure in section.figures}
    shown = re.findall(r'<figure>\n<img [^>]*alt="[^"]+"[^>]*>\n<figcaption>(.*?)</f', text)
    assert sorted(shown) == sorted(map(escape, CAPTIONS.values()))


def test_a_long_name_breaks_between_its_words_and_is_still_found_by_a_filter(text):
    name = "jvp_matches_complex_step"
    assert f"<code>{name.replace('_', '_<wbr>')}</code>" in text
    assert "<code>decoder_<wbr>matches</code></a>" in html(ALL["verify"](RECORDS))
    assert "verify/<wbr>jvp/<wbr>jvp_<wbr>matches" in text


def test_heads_can_be_reached_and_pressed_by_keyboard(text):
    heads = re.findall(r'<th scope="col">(.*?)</th>', text)
    assert len(heads) > 50
    assert all(re.fullmatch(r'<button type="button">.+</button>', head) for head in heads)
    assert "focus-visible { outline: 2px" in text


def test_links_and_failures_stand_out_from_a_light_and_a_dark_page(text):
    light, dark = re.findall(r"--link: (#\w{6}); --worse: (#\w{6});", text)
    for colors, canvas in ((light, "#ffffff"), (dark, "#121212")):
        for color in colors:
            assert contrast(color, canvas) > 4.5


# In a browser


def browse(folder, address, *options):
    """A page after its scripts ran, and what they said on the console."""
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [CHROMIUM, *QUIET, profile, *options, "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def dom(folder, script, query=""):
    """The report after a script ran in it, and what it said on the console."""
    file, text = folder / "index.html", page(RECORDS)
    file.write_text(text.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    return browse(folder, f"{file.as_uri()}{query}", "--window-size=1200,900")


def said(text, name):
    (found,) = re.findall(rf'data-{name}="([^"]*)"', text.split("<section", maxsplit=1)[0])
    return str(found)


@in_a_browser
def test_it_renders_without_an_error_and_an_error_would_be_seen(tmp_path):
    text, console = dom(tmp_path, "")
    assert console == []
    assert "rows</span>" in text
    assert dom(tmp_path, "absent();")[1] != []


@in_a_browser
def test_a_filter_leaves_the_rows_that_hold_its_words(tmp_path):
    count = "document.body.dataset.shown = [...document.querySelectorAll('#checks tbody tr')]"
    script = f"{count}.filter((row) => !row.hidden).length;"
    everything = int(said(dom(tmp_path, script)[0], "shown"))
    text, console = dom(tmp_path, script, "?checks=jvp+complex")
    assert (said(text, "shown"), console) == ("1", [])
    assert everything > 100


@in_a_browser
def test_a_head_sorts_by_number_both_ways(tmp_path):
    script = """
      const head = document.querySelectorAll('#records th')[3];
      const first = () => document.querySelector('#records tbody tr').cells[3].textContent;
      head.querySelector('button').click(); document.body.dataset.least = first();
      head.querySelector('button').click(); document.body.dataset.most = first();
    """
    text, console = dom(tmp_path, script)
    assert console == []
    least, most = (float(said(text, name)) for name in ("least", "most"))
    assert least <= 0
    assert most > 1e9


MEASURE = """
  const page = document.documentElement;
  document.querySelector("details")?.setAttribute("open", "");
  const cells = [...document.querySelectorAll("th, td")].filter((cell) => cell.offsetHeight);
  const cut = cells.filter((cell) => cell.scrollWidth > cell.clientWidth + 1);
  const wide = [...document.querySelectorAll("table")].filter(
    (table) => table.getBoundingClientRect().right > page.clientWidth);
  // What shows of the head of its column before each cell, which then leaves room for it.
  const room = (cell) => parseFloat(getComputedStyle(cell).paddingLeft);
  const labelled = cells.filter((cell) => cell.closest("tbody") && cell.dataset.head
    && room(cell) > 100 && getComputedStyle(cell, "::before").content.length > 2);
  const found = [page.clientWidth, page.scrollWidth - page.clientWidth, cells.length, cut.length,
    wide.length, labelled.length / cells.filter((cell) => cell.closest("tbody")).length];
  if (parent !== window) parent.postMessage(found, "*");
"""


@in_a_browser
@pytest.mark.parametrize(
    ("width", "rows_are_lists"), [(390, True), (700, True), (768, False), (1280, False)]
)
def test_no_table_is_wider_than_the_screen_and_no_cell_is_cut_off(width, rows_are_lists, tmp_path):
    """In a frame, as a window of Chromium is never as narrow as a phone."""
    dom(tmp_path, MEASURE)
    frame = f"""<!doctype html><body><script>
      onmessage = (event) => {{ document.body.dataset.found = event.data; }};
    </script><iframe src="index.html" width="{width}" height="800" frameborder="0"></iframe>"""
    file = tmp_path / "frame.html"
    file.write_text(frame, encoding="utf-8")
    found = re.search(r'data-found="([-.,\d]+)"', browse(tmp_path, file.as_uri())[0])
    assert found
    shown, over, num_cells, cut, wide, labelled = map(float, found[1].split(","))
    assert width - 20 <= shown <= width  # a scrollbar stands beside it
    assert num_cells > 10_000
    assert (over, cut, wide) == (0, 0, 0)
    assert labelled == (1 if rows_are_lists else 0)
