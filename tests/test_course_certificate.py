"""The certificate says what the checks of a copy say, prints, and needs nothing from outside."""

import datetime
import re
from html.parser import HTMLParser

import pytest

from bnlib.course import certificate, progress
from bnlib.course.kit import own_layer
from bnlib.course.kit.asking import notebooks
from bnlib.course.kit.certificate import CAN, page


@pytest.fixture
def work(tmp_path, monkeypatch):
    folder = tmp_path / "mein Kürs" / "work"
    monkeypatch.setenv("BNLIB_WORK", str(folder))
    monkeypatch.setattr(own_layer, "_solved_here", set())
    return folder


def written(work):
    return (work / "certificate.html").read_text(encoding="utf-8")


def rows(text):
    """{number of a notebook: what stands in its last column}"""
    found = re.findall(r"<tr><td>(\d\d)</td><td>[^<]+</td>\s*<td[^>]*>([^<]+)</td></tr>", text)
    return dict(found)


def test_certificate_counts_what_the_checks_said(work):
    for number in ("3.2", "3.4", "16.4"):
        own_layer.record(number)
    said = certificate("Kim")
    assert "3 of " in str(said)
    assert "work/certificate.html" in str(said)
    counts = rows(written(work))
    assert counts["03"].startswith("2 of ")
    assert counts["16"].startswith("1 of ")
    assert counts["00"].startswith("0 of ")


def test_certificate_agrees_with_progress(work):
    own_layer.record("3.2")
    certificate()
    said = {line[:2]: re.search(r"\d+ of \d+", line)[0] for line in str(progress()).splitlines()}
    assert rows(written(work)) == {number: said[number] for number in said if number in CAN}


def test_whole_notebook_gets_a_tick():
    text = page("", {"03": (["3.2"], ["3.2"]), "04": ([], ["4.1"])}, [])
    assert rows(text) == {"03": "1 of 1 ✓", "04": "0 of 1"}
    assert "1 of 2 exercises solved, 1 of 2 notebooks whole." in text


def test_name_is_printed_and_cannot_be_markup(work):
    certificate("  Ana <b>& Bo</b> ")
    assert '<p class="name">Ana &lt;b&gt;&amp; Bo&lt;/b&gt;</p>' in written(work)


def test_without_a_name_there_is_a_line_to_write_on():
    assert '<p class="name">&nbsp;</p>' in page("", {}, [])


def test_name_that_is_no_text_raises():
    with pytest.raises(TypeError, match="name is of type int; expected a text"):
        certificate(3)


def test_pieces_of_the_own_layer_are_listed(work):
    (work / "my_layer").mkdir(parents=True)
    for name in ("normalize", "BatchNorm"):
        (work / "my_layer" / f"{name}.py").write_text("")
    certificate()
    assert "<code>BatchNorm</code>, <code>normalize</code>" in written(work)


def test_date_is_the_day_it_was_made():
    assert "made on 3 May 2027" in page("", {}, [], datetime.date(2027, 5, 3))


def test_certificate_is_written_anew(work):
    certificate("Kim")
    own_layer.record("3.2")
    certificate("Bo")
    assert "Kim" not in written(work)
    assert rows(written(work))["03"].startswith("1 of")


def test_without_a_work_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.delenv("BNLIB_WORK", raising=False)
    monkeypatch.chdir(tmp_path)
    assert "No page is written" in str(certificate())
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written_is_said(work):
    work.parent.mkdir(parents=True)
    work.write_text("a file in the way")
    assert "could not be written" in str(certificate())


class Tags(HTMLParser):
    """The tags of a page; raises where they are not closed in order."""

    EMPTY = ("meta",)

    def __init__(self, text):
        super().__init__()
        self.open, self.found = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_whole_and_loads_nothing():
    text = page("Kim", {"03": (["3.2"], ["3.2"])}, ["normalize"])
    found = {tag for tag, _ in Tags(text).found}
    assert {"table", "thead", "tbody", "title", "h1"} <= found
    assert not found & {"script", "link", "img", "iframe"}
    assert "http" not in text
    assert "@page" in text


def test_every_notebook_has_its_sentence():
    assert set(notebooks()) - set(CAN) <= {"17"}  # an appendix
