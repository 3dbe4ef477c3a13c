"""Reports in a real browser: every chart is drawn, nothing is requested, nothing is said on the console; light and dark."""
import os
import sys
import unittest

import browser
import support

support.needs_vega()
PROGRAM = browser.find()
if PROGRAM is None:
    print("skipped: no chromium or chrome on this machine (EMER_CHROMIUM names another)")
    sys.exit(support.SKIPPED)
FOLDER = support.Folder()
MARKS = """[...document.querySelectorAll('figure')].map(f => [f.id, f.querySelector('.vis').dataset.drawn,
  f.querySelectorAll('.mark-symbol path, .mark-line path, .mark-rect path, .mark-rule line, .mark-area path, .mark-text text').length])"""


class Pages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pages = {"run": os.path.join(FOLDER.path, "run.html"), "results": os.path.join(FOLDER.path, "results.html")}
        support.emer("report", support.make_run(FOLDER.path), "--out", cls.pages["run"])
        support.emer("report", support.make_results(FOLDER.path), "--out", cls.pages["results"])
        cls.browser = browser.Browser(PROGRAM)
        cls.addClassCleanup(cls.browser.close)

    def open(self, name):
        self.browser.open(self.pages[name])

    def complaints(self):
        """Requests other than the page itself, and everything on the console."""
        out = []
        for event in self.browser.events:
            what = event.get("params", {})
            if event["method"] == "Network.requestWillBeSent" and not what["request"]["url"].startswith("file://" + FOLDER.path):
                out.append("request " + what["request"]["url"])
            if event["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                out.append(f"{event['method']} {str(what)[:400]}")
        return out

    def test_every_chart_is_drawn_in_silence(self):
        for name, charts in (("run", 13), ("results", 8)):
            with self.subTest(name):
                self.open(name)
                marks = self.browser.evaluate(MARKS)
                self.assertEqual(len(marks), charts)
                for chart, drawn, count in marks:
                    self.assertEqual(drawn, "yes", chart)
                    self.assertGreater(count, 3, chart)
                self.assertEqual(self.complaints(), [])

    def test_titles_are_text(self):
        for name in self.pages:
            self.open(name)
            self.assertNotEqual(self.browser.evaluate("document.title"), "taken")
            self.assertEqual(self.browser.evaluate("document.querySelectorAll('img').length"), 0)
        self.assertTrue(self.browser.evaluate("document.body.textContent.includes('onerror=')"))

    def test_requests_are_forbidden(self):
        self.open("run")
        self.assertEqual(self.browser.evaluate("fetch('https://example.org/').then(() => 'sent', () => 'refused')"), "refused")
        self.assertTrue(any("Content Security Policy" in text for text in self.complaints()))

    def test_dark_follows_the_system_and_the_switch(self):
        self.open("run")
        page = "getComputedStyle(document.body).backgroundColor"
        line = "getComputedStyle(document.querySelector('#rank-cdf .mark-line path:not([stroke-dasharray])')).stroke"
        light = [self.browser.evaluate(page), self.browser.evaluate(line)]
        self.browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        dark = [self.browser.evaluate(page), self.browser.evaluate(line)]
        for one, other in zip(light, dark):
            self.assertNotEqual(one, other)
        self.browser.evaluate("document.getElementById('theme').click()")
        self.assertEqual([self.browser.evaluate(page), self.browser.evaluate(line)], light)
        self.browser.call("Emulation.setEmulatedMedia", features=[])
        self.browser.evaluate("document.getElementById('theme').click()")
        self.assertEqual([self.browser.evaluate(page), self.browser.evaluate(line)], dark)
        self.browser.evaluate("localStorage.clear()")

    def test_pointing_at_a_song_tells_it_and_joins_its_answers(self):
        self.open("run")
        chart = "#map-music-to-emotion"
        self.browser.evaluate(f"document.querySelector('{chart}').scrollIntoView({{behavior: 'instant', block: 'center'}})")
        places = self.browser.evaluate(
            f"""[...document.querySelectorAll('{chart} .mark-symbol path[aria-label*="rank of its match"]')].map(p => {{
              const box = p.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})""")
        self.assertEqual(len(places), 16)  # a fifth of the songs
        answers = f"[...document.querySelectorAll('{chart} .mark-rule line')].map(l => l.parentElement.innerHTML).join('')"
        transforms = f"[...document.querySelectorAll('{chart} .mark-rule line')].map(l => l.getAttribute('transform')).join()"
        seen = set()
        for x, y in (places[0], places[7], places[15]):
            self.browser.hover(x - 1, y - 1)
            self.browser.hover(x, y)
            self.browser.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            seen.add(self.browser.evaluate(answers) + self.browser.evaluate(transforms))
        self.assertGreaterEqual(len(seen), 2)
        tooltip = self.browser.evaluate("document.getElementById('vg-tooltip-element').textContent")
        # An answer that lies on the song says its own number instead.
        self.assertTrue("rank of its match" in tooltip or "answer number" in tooltip, tooltip)
        self.assertIn("onerror=", tooltip)
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('img').length"), 0)

    def test_tables_sort_by_their_headings(self):
        self.open("results")
        column = "[...document.querySelectorAll('#table-points tbody tr')].map(r => r.cells[3].dataset.v)"
        click = "document.querySelectorAll('#table-points th button')[3].click()"
        before = self.browser.evaluate(column)
        numbers = sorted(float(v) for v in before if v)
        self.browser.evaluate(click)
        self.assertEqual([float(v) for v in self.browser.evaluate(column)[:-1]], numbers)
        self.browser.evaluate(click)
        after = self.browser.evaluate(column)
        self.assertEqual([float(v) for v in after[:-1]], numbers[::-1])
        self.assertEqual(after[-1], "")  # nothing comes last either way
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('#table-points th')[3].getAttribute('aria-sort')"), "descending")

    def test_a_narrow_screen_needs_no_sideways_scrolling(self):
        self.browser.call("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
        self.addCleanup(lambda: self.browser.call("Emulation.clearDeviceMetricsOverride"))
        for name in self.pages:
            self.open(name)
            self.assertLessEqual(self.browser.evaluate("document.documentElement.scrollWidth"), 390, name)


if __name__ == "__main__":
    unittest.main()
