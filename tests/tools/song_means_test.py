import contextlib
import io
import os
import tempfile
import unittest
from unittest import mock

from support import tool

means = tool("tools/song_means")


class SongMeans(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder, self.out = os.path.join(folder.name, "in"), os.path.join(folder.name, "out.csv")
        os.mkdir(self.folder)

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8", newline="") as file:
            file.write(text)

    def run_tool(self, *words):
        said = io.StringIO()
        with mock.patch("sys.argv", ["song_means", self.folder, "--out", self.out, *words]), \
                contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = means.main()
        return code, said.getvalue()

    def result(self):
        with open(self.out, encoding="utf-8") as file:
            return file.read()

    def test_means_of_semicolons_and_commas_in_order_of_ids(self):
        self.write("10.csv", "frameTime;a;b\n15.0;1;-1\n15.5;2;3\n")
        self.write("2.csv", "\ufeffframeTime,a,b\r\n15.0,5,0.5\r\n\r\n")
        self.write("notes.txt", "x")
        self.assertEqual(self.run_tool()[0], 0)
        self.assertEqual(self.result(), "song_id,a,b\n2,5.0,0.5\n10,1.5,1.0\n")

    def test_part_and_deviations(self):
        self.write("1.csv", "time;a\n14.5;100\n15;1\n44.5;3\n45;100\n")
        self.assertEqual(self.run_tool("--from", "15", "--to", "45", "--deviations")[0], 0)
        self.assertEqual(self.result(), "song_id,a_mean,a_deviation\n1,2.0,1.0\n")

    def test_what_is_no_number_is_left_out_and_a_column_of_nothing_is_empty(self):
        self.write("1.csv", "frameTime;a;b\n0;nan;x\n1;4;\n2;inf;NaN\n")
        self.assertEqual(self.run_tool()[0], 0)
        self.assertEqual(self.result(), "song_id,a,b\n1,4.0,\n")

    def test_refusals_name_the_file_and_write_nothing(self):
        for files, part in (({}, "no files such as"), ({"1.csv": "a\n1\n", "2.csv": "b\n1\n"}, "2.csv: other columns"),
                            ({"1.csv": "frameTime;a\n1\n"}, "1.csv:2: 1 cells"), ({"1.csv": "time;a\nx;1\n"}, "'x' is no time")):
            for old in os.listdir(self.folder):
                os.remove(os.path.join(self.folder, old))
            for name, text in files.items():
                self.write(name, text)
            code, said = self.run_tool()
            self.assertEqual(code, 1)
            self.assertIn(part, said)
            self.assertFalse(os.path.exists(self.out))
        self.write("1.csv", "a\n1\n")
        self.assertIn("to choose by", self.run_tool("--from", "15")[1])


if __name__ == "__main__":
    unittest.main()
