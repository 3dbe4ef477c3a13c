import os
import tempfile
import unittest

from support import tool

check = tool("tools/check_documents")

HELP = {
    (): "Usage: emer\n\nSubcommands:\n  prepare    raw\n  train      train\n  launch     ranks\n  info       facts\n\nExamples:\n"
        "  emer train --odd\n",
    ("prepare",): "Subcommands:\n  deam   DEAM\n  pmemo  PMEmo\n",
    ("prepare", "deam"): "Options:\n  -h,--help    help\n  --out TEXT   file\n  --pad,--no-pad{false}   silence\n",
    ("prepare", "pmemo"): "Options:\n  --short FLOAT   seconds\n",
    ("train",): "Options:\n  --set TEXT   key\n  --run TEXT  folder\n",
    ("launch",): "Options:\n  -n,--ranks INT  how many\n",
    ("info",): "Options:\n  --json  JSON\n",
}
KEYS = "| key | default |\n|---|---|\n| `train.epochs` | 1 |\n| `device` | auto |\n"


def run(*words):
    if words == ("info", "--config-reference"):
        return KEYS
    assert words[-1] == "--help", words
    return HELP[words[:-1]]


class CheckDocuments(unittest.TestCase):
    def tree(self, files):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for path, text in files.items():
            full = os.path.join(folder.name, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as file:
                file.write(text)
        return folder.name

    def found(self, files, program=None):
        return list(check.findings(self.tree(files), program))

    def test_anchors_are_githubs(self):
        for heading, name in (("3.1 KL ranking", "31-kl-ranking"), ("`emer search CHECKPOINT | RUN`", "emer-search-checkpoint--run"),
                              ("A, B: *c* (d)", "a-b-c-d"), ("See [this](x.md) first", "see-this-first"), ("a_b-c", "a_b-c")):
            self.assertEqual(check.anchor(heading), name)
        self.assertEqual(check.anchors("# A\n## A\n```\n# B\n```\n# A\n"), {"a", "a-1", "a-2"})

    def test_links_that_lead_somewhere_are_quiet(self):
        self.assertEqual(self.found({
            "README.md": "[a](docs/a.md) [b](docs/a.md#two-words) [own](#here) [out](https://x.org/none) ![f](docs/f.svg)\n# Here\n"
                         "`[x](none.md)`\n```\n[y](none.md)\n```\n<img src=\"docs/f.svg\">\n",
            "docs/a.md": "## Two words\n[up](../README.md) [folder](../docs)\n", "docs/f.svg": ""}), [])

    def test_every_broken_link_is_named_with_its_line(self):
        self.assertEqual(self.found({"docs/a.md": "x\n[a](b.md)\n[c](#none)\n[d](a.md#no)\n<img src=\"f.svg\">\n"}), [
            "docs/a.md:2: b.md: no such file", "docs/a.md:3: #none: no heading gives this anchor",
            "docs/a.md:4: a.md#no: no heading gives this anchor", "docs/a.md:5: f.svg: no such file"])

    def test_paths_in_code_spans_must_be_there_unless_they_are_patterns(self):
        self.assertEqual(self.found({"README.md": "`tools/a` `tools/b` `kernels/<op>.h` `core/` `tests/x.py --y`\n`core/no.h`",
                                     "tools/a": "", "core/x.h": ""}),
                         ["README.md:1: `tools/b`: no such file or folder", "README.md:2: `core/no.h`: no such file or folder"])

    def commands(self, text, path="README.md"):
        return self.found({path: text}, check.Program(run))

    def test_commands_as_the_program_has_them_are_quiet(self):
        self.assertEqual(self.commands(
            "```sh\nbuild/cpu/bin/emer prepare deam --out x --no-pad   # --nothing\n$emer train a.yaml \\\n  --set train.epochs=3 "
            "--set key=value --run r && emer info --json\ncmake --odd\ntools/seeds emer c.yaml --eval x\n"
            "emer launch -n 2 train a.yaml --run r\n```\n`emer prepare --out X --short 3` and `--free`\n"), [])

    def test_unknown_commands_options_and_keys_are_found(self):
        self.assertEqual(self.commands("```sh\nemer prepare deam \\\n  --none\nemer train c --set train.epoch=1\nemer fly\n```\n"
                                       "`emer info --jsn`"),
                         ["README.md:2: emer prepare deam has no --none", "README.md:4: no configuration key train.epoch",
                          "README.md:5: emer has no command 'fly'", "README.md:7: emer info has no --jsn"])

    def test_sections_of_commands_name_every_option(self):
        text = "### `emer train CONFIG`\n`--set`, `--running`\n### `emer prepare deam`\n`--out`, `--pad`\n## Other\n`--run`\n"
        self.assertEqual(self.commands(text, "docs/interchange.md"),
                         ["docs/interchange.md: the section of `emer train` does not name --run"])
        self.assertEqual(self.commands(text, "docs/other.md"), [])


if __name__ == "__main__":
    unittest.main()
