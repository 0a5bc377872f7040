"""Draws every chart of the reports by Vega-Lite, outside a browser: each compiles and shows marks.

The program test_host beside doppel writes the reports of made tables and images. Run by CTest; by hand:
.deps/bin/python tests/oracle/test_report.py build/release/doppel [REPORT.html]
"""

import html.parser
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

import vl_convert

ARGUMENTS = sys.argv[1:]
sys.argv[1:] = []
PROGRAM = pathlib.Path(ARGUMENTS[0] if ARGUMENTS else "build/release/doppel").resolve()
REPORT = pathlib.Path(ARGUMENTS[1]) if len(ARGUMENTS) > 1 else None
VEGA_LITE = "6.4"  # as host/report/bundle_vega.py bundles
MARKS = {"density": 2, "dates": 2, "levels": 4, "utility": 12, "components": 100, "correlation": 9, "difference": 9, "trends": 9,
         "dependences": 2, "confusion": 9, "classes": 6, "codes": 60, "history": 2, "losses": 2, "accuracies": 2}  # the fewest that a chart of this kind shows
VOID = {"meta", "input", "br", "link", "img", "hr"}


class Page(html.parser.HTMLParser):
    """The elements of a page: ids, scripts by type, and whether every element is closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.scripts, self.charts, self.external = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if "data-chart" in attributes:
            self.charts.append(attributes["data-chart"])
        self.external += [value for name, value in attributes.items()
                          if name in ("src", "href", "action") and not value.startswith(("#", "data:image/png;base64,"))]
        if tag == "script":
            self.scripts.append([attributes.get("type"), ""])

    def handle_endtag(self, tag):
        if self.open[-1:] != [tag]:
            raise AssertionError(f"</{tag}> closes {self.open[-1:]} on line {self.getpos()[0]}")
        self.open.pop()

    def handle_data(self, data):
        if self.open[-1:] == ["script"]:
            self.scripts[-1][1] += data


class Report(unittest.TestCase):
    FILE = "report.html"

    @classmethod
    def setUpClass(cls):
        if REPORT:
            cls.text = REPORT.read_text(encoding="utf-8")
        else:
            with tempfile.TemporaryDirectory() as folder:
                subprocess.run([PROGRAM.parent / "tests" / "test_host", "--gtest_filter=ReportForTheOracle*"],
                               env={**os.environ, "DOPPEL_ORACLE_FOLDER": folder}, check=True, stdout=subprocess.DEVNULL)
                cls.text = pathlib.Path(folder, cls.FILE).read_text(encoding="utf-8")
        cls.page = Page(cls.text)
        cls.data = json.loads(next(text for kind, text in cls.page.scripts if kind == "application/json"))

    def test_page_is_well_formed_and_asks_for_nothing_outside(self):
        self.assertEqual(self.page.open, [])
        self.assertEqual(len(self.page.ids), len(set(self.page.ids)))
        self.assertEqual(self.page.external, [])
        self.assertEqual([kind for kind, _ in self.page.scripts], ["application/json", "module", "module"])

    def test_every_chart_has_its_place(self):
        self.assertEqual(sorted(self.page.charts), sorted(self.data["charts"]))

    def test_every_chart_draws_marks(self):
        for name, chart in self.data["charts"].items():
            spec = {**self.data["specs"][chart["spec"]], **chart["with"]}
            svg = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)
            root = xml.etree.ElementTree.fromstring(svg)
            shapes = [node for group in root.iter() if "mark-" in group.get("class", "") and "role-mark" in group.get("class", "")
                      for node in group.iter() if node.tag.endswith(("path", "text")) and (node.get("d") or node.text)]
            self.assertGreaterEqual(len(shapes), MARKS[chart["spec"]], name)
            self.assertNotIn("NaN", svg, name)
        self.assertTrue({chart["spec"] for chart in self.data["charts"].values()} <= set(MARKS))


@unittest.skipIf(REPORT, "one report is given")
class ImageReport(Report):
    FILE = "image_report.html"


if __name__ == "__main__":
    unittest.main()
