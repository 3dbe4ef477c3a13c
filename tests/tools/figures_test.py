import math
import unittest
import xml.etree.ElementTree

from support import tool

figures = tool("tools/figures")


class Figures(unittest.TestCase):
    def test_every_figure_is_a_document_with_a_title_inside_its_frame(self):
        for name, draw in figures.FIGURES.items():
            tree = xml.etree.ElementTree.fromstring(str(draw()))
            width, height = float(tree.get("width")), float(tree.get("height"))
            self.assertTrue(tree.find("{*}title").text, name)
            for element in tree.iter():
                for x, y in (("x", "y"), ("cx", "cy")):
                    if element.get(x) is not None:
                        self.assertTrue(0 <= float(element.get(x)) <= width and 0 <= float(element.get(y)) <= height, (name, element.attrib))

    def test_divergence_by_hand(self):
        # 1/2 (2/1 - 1 + ln(1/2) + 9/1)
        self.assertAlmostEqual(figures.divergence(([0.0], [2.0]), ([3.0], [1.0])), 0.5 * (1 + math.log(0.5) + 9), places=12)
        self.assertEqual(figures.divergence(([1.0, 2.0], [3.0, 4.0]), ([1.0, 2.0], [3.0, 4.0])), 0.0)

    def test_inverse_root_undoes_its_matrix_twice(self):
        m = [[2.0, 0.7], [0.7, 1.5]]
        r = figures.inverse_root(m)
        back = figures.product(figures.product(r, m), r)
        for i in range(2):
            for j in range(2):
                self.assertAlmostEqual(back[i][j], float(i == j), places=12)

    def test_cca_finds_the_direction_that_two_views_share(self):
        # The second view is the first turned and stretched: both correlations are 1.
        first = [[math.cos(k), math.sin(2.3 * k)] for k in range(40)]
        second = [[3 * a + b, a - 2 * b] for a, b in first]
        p1, p2, d = figures.cca(first, second)
        self.assertAlmostEqual(d[0], 1.0, places=9)
        self.assertAlmostEqual(d[1], 1.0, places=9)
        for a, b in zip(p1, p2):
            self.assertAlmostEqual(abs(a[0]), abs(b[0]), places=6)


if __name__ == "__main__":
    unittest.main()
