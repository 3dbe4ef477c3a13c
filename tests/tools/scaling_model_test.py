"""The fit and the model behind docs/scaling.md."""
import unittest

from support import tool

model = tool("tools/scaling_model")


class Fit(unittest.TestCase):
    def test_finds_the_coefficients_that_made_the_times(self):
        features = [[1.0, n, n * n] for n in (1.0, 2.0, 3.0, 5.0, 8.0)]
        times = [3e-3 + 2e-5 * n + 7e-6 * n * n for _, n, _ in features]
        found = model.fit(features, times)
        for got, want in zip(found, (3e-3, 2e-5, 7e-6)):
            self.assertAlmostEqual(got / want, 1.0, places=6)

    def test_a_term_that_would_be_negative_is_left_out(self):
        features = [[1.0, n] for n in (1.0, 2.0, 3.0)]
        found = model.fit(features, [3.0, 2.0, 1.0])
        self.assertEqual(found[1], 0.0)
        self.assertGreater(found[0], 0.0)

    def test_residuals_are_relative(self):
        self.assertEqual(model.residuals([(1.0, 2.0), (3.0, 2.0)]), (0.5, 0.5))


class Prediction(unittest.TestCase):
    def test_shares_are_those_of_the_engine(self):
        self.assertEqual(model.share(10, 4), 3)
        self.assertEqual(model.loss_features("kl", 10, 2, 4), [1.0, 6, 60])

    def test_one_call_by_hand(self):
        self.assertAlmostEqual(model.exchange_time(370e9, 1, 8), 1.0 + 20e-6)
        self.assertAlmostEqual(model.exchange_time(360e9, 1, 16), 1.0 + 30e-6)

    def test_twice_the_gpus_halve_the_work_of_the_loss(self):
        one, two = model.gpu_step(1 << 17, 64, 1), model.gpu_step(1 << 17, 128, 1)
        self.assertAlmostEqual(one["kl"] / two["kl"], 2.0)
        self.assertLess(model.gpu_step(1 << 17, 64, 16)["memory"], one["memory"])


if __name__ == "__main__":
    unittest.main()
