"""Every chart of a report is a valid specification: Vega-Lite compiles and draws it without a warning."""
import os
import unittest
import xml.etree.ElementTree

import support

support.needs_vega()
FOLDER = support.Folder()


class Drawings(unittest.TestCase):
    def draw(self, source, format_):
        folder = os.path.join(FOLDER.path, "figures_" + os.path.basename(source) + format_)
        page = os.path.join(FOLDER.path, os.path.basename(source) + ".html")
        _, said = support.emer("report", source, "--out", page, "--figures", folder, "--format", format_)
        self.assertEqual(said, "")
        return {name: os.path.join(folder, name) for name in os.listdir(folder)}

    def test_a_run_as_svg(self):
        files = self.draw(support.make_run(FOLDER.path), "svg")
        wanted = {"loss", "loss-cca", "loss-kl", "gradient-norm", "learning-rate", "throughput", "validation-mrr",
                  "validation-ar", "rank-histogram", "rank-cdf", "canonical-correlations", "map-music-to-emotion",
                  "map-emotion-to-music"}
        self.assertEqual(set(files), {name + ".svg" for name in wanted})
        for path in files.values():
            root = xml.etree.ElementTree.parse(path).getroot()
            marks = [e for e in root.iter() if e.tag.endswith("}path") and e.get("aria-roledescription")]
            self.assertTrue(marks, path)
            self.assertNotIn("var(", xml.etree.ElementTree.tostring(root, "unicode"))

    def test_results_as_png(self):
        files = self.draw(support.make_results(FOLDER.path), "png")
        self.assertEqual(len(files), 8)  # seven kinds, one of them in two panels
        for path in files.values():
            with open(path, "rb") as file:
                self.assertEqual(file.read(8), b"\x89PNG\r\n\x1a\n")


if __name__ == "__main__":
    unittest.main()
