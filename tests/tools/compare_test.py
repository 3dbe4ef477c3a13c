import unittest

from support import tool

compare = tool("bench/peers/compare")


def case(name, **more):
    return {"name": name, "group": "g", "precision": "fp32", "shape": {}, "description": "", "status": "ok", "median": 2.0,
            **more}


class Compare(unittest.TestCase):
    def test_ratios_are_theirs_over_ours_where_both_ran(self):
        ours = {"cases": [case("a"), case("b", status="skipped", reason="no twin")]}
        theirs = [{"name": n, "precision": p, "variant": "v", "status": s, "median": 6.0}
                  for n, p, s in (("a", "fp32", "ok"), ("a", "bf16", "ok"), ("b", "fp32", "ok"), ("a", "fp32", "wrong"))]
        rows = compare.join(ours, [{"peer": "torch", "cases": theirs}])
        self.assertEqual([p.get("ratio") for p in rows[0]["peers"]], [3.0, None])
        self.assertEqual([p.get("ratio") for p in rows[1]["peers"]], [None])
        self.assertIn("3.00", compare.table(rows))


if __name__ == "__main__":
    unittest.main()
