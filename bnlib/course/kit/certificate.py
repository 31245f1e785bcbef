"""A certificate of one's own: what a copy of the course says is solved, as a page that prints."""

import datetime
import html
from contextlib import suppress

import bnlib
from bnlib.course.kit import own_layer
from bnlib.course.kit.markup import Rich, to_html, to_plain

FILE = "certificate.html"
CAN = {  # what a notebook leaves its reader able to do
    "00": "run a notebook that proves its own sentences",
    "01": "see in a layer's numbers why a deep net is hard to train",
    "02": "standardize inputs, and say what that does to gradient descent",
    "03": "normalize a mini-batch, and say how exact its statistics are",
    "04": "scale and shift with γ and β, and undo a normalization",
    "05": "put Batch Normalization where it belongs in a net",
    "06": "derive and check its backward pass, node by node",
    "07": "write the whole layer: training, inference, running statistics",
    "08": "judge by several seeds what it buys, and what it does not",
    "09": "bring the layer to torch, with a gradient of one's own",
    "10": "normalize images, and test that all places are treated alike",
    "11": "make it disappear at deployment, and freeze it without surprises",
    "12": "share its statistics between several devices",
    "13": "tell what explains it from what is only said about it",
    "14": "choose another normalization where it fails",
    "15": "find bugs in a layer with tests that raise no false alarm",
    "16": "train a net that does not train without it, and report honestly",
}
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Batch Normalization, from first principles: {title}</title>
<style>
@page {{ size: A4; margin: 14mm 16mm; }}
body {{ font: 11pt/1.35 "DejaVu Serif", Georgia, serif; color: #1a1a1a; background: #fff;
  max-width: 178mm; margin: 8mm auto; padding: 0 6mm; }}
h1 {{ font-size: 21pt; font-weight: normal; margin: 0 0 1mm; }}
.name {{ font-size: 17pt; border-bottom: 1px solid #767676; margin: 5mm 0 3mm; padding-bottom: 1mm;
  min-height: 8mm; }}
table {{ border-collapse: collapse; width: 100%; font-size: 9.5pt; }}
th, td {{ text-align: left; padding: 0.9mm 2mm; border-bottom: 1px solid #d0d0d0;
  vertical-align: top; }}
th {{ border-bottom: 1.5px solid #1a1a1a; }}
td.count {{ white-space: nowrap; text-align: right; }}
tr {{ break-inside: avoid; }}
p.small {{ font-size: 9pt; color: #444; }}
</style>
</head>
<body>
<h1>Batch Normalization, from first principles</h1>
<p>A certificate of one’s own, made on {date}.</p>
<p class="name">{name}</p>
<p>{summary}</p>
<table>
<thead><tr><th scope="col">notebook</th><th scope="col">what it teaches you to do</th>
<th scope="col">exercises solved</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
<p>{layer}</p>
<p class="small">Made from what the checks of this copy of the course (bnlib {version}) found right.
Predictions are not counted. Nobody else has checked it, and the page can be changed like any other;
it is worth what its owner can do.</p>
</body>
</html>
"""


def certificate(name=""):
    """Write the page of what this copy's exercises say is solved. Returns a sentence to display.

    name  str, the learner's name as it is to be printed; without one, a line to write it on

    The page is certificate.html in the work folder, one file that needs no network; open it in a
    browser and print it. It is written anew at each call. Where there is no work folder, nothing
    is written. Raises TypeError when name is no text.
    """
    if not isinstance(name, str):
        raise TypeError(f"name is of type {type(name).__name__}; expected a text, such as 'Kim'")
    tally = {number: pair for number, pair in own_layer.tally().items() if number in CAN}
    right, asked = (sum(len(pair[i]) for pair in tally.values()) for i in (0, 1))
    counted = f"{right} of {asked} exercises solved in {len(tally)} notebooks"
    folder = own_layer.work_folder()
    if folder is None:
        return _said(f"{counted}. No page is written: this notebook is not a copy in `work/`.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"{FILE}.new"
        draft.write_text(page(name, tally, _pieces(folder)), encoding="utf-8")
        draft.replace(folder / FILE)
    except OSError as error:
        return _said(f"{counted}. The page could not be written: {error.strerror}.")
    return _said(f"{counted}. The page is `{folder.name}/{FILE}`: open it, and print it.")


def page(name, tally, pieces, date=None):
    """The certificate as a text of HTML.

    tally   {number of a notebook: (exercises solved, exercises asked)}, as own_layer.tally gives it
    pieces  names of the pieces of the learner's own layer
    date    datetime.date; today by default
    """
    date = date or datetime.date.today()
    right, asked = (sum(len(pair[i]) for pair in tally.values()) for i in (0, 1))
    whole = [number for number, (done, all_) in tally.items() if len(done) == len(all_)]
    summary = f"{right} of {asked} exercises solved, {len(whole)} of {len(tally)} notebooks whole."
    rows = "\n".join(
        f"<tr><td>{number}</td><td>{html.escape(CAN[number])}</td>"
        f'<td class="count">{len(done)} of {len(all_)}{" ✓" if number in whole else ""}</td></tr>'
        for number, (done, all_) in tally.items()
    )
    layer = "No piece of an own layer is kept yet."
    if pieces:
        listed = ", ".join(f"<code>{html.escape(piece)}</code>" for piece in pieces)
        layer = f"Pieces of an own layer, written and kept: {listed}."
    named = html.escape(name.strip())
    return PAGE.format(
        title=named or "a certificate of one’s own", name=named or "&nbsp;", summary=summary,
        rows=rows, layer=layer, version=bnlib.__version__, date=f"{date.day} {date:%B %Y}",
    )  # fmt: skip


def _pieces(folder):
    with suppress(OSError):
        return sorted((path.stem for path in (folder / "my_layer").glob("*.py")), key=str.casefold)
    return []


def _said(text):
    return Rich(to_plain(text), f"<p>{to_html(text)}</p>")
