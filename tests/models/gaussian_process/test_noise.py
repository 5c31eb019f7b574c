import numpy as np

from gedanken.models.gaussian_process import fit_gaussian_process
from gedanken.models.gaussian_process.noise import noise_shape
from gedanken.worlds.design import DesignSpace
from gedanken.worlds.parameters import Continuous

SPACE = DesignSpace((Continuous("a", 0, 1),))


def replicates(steep: float, *, designs: int = 12, each: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise of 0.1 in the middle, which grows `steep` e-folds from one end to the other."""
    rng = np.random.default_rng(seed)
    x = np.repeat(np.linspace(0, 1, designs), each)
    y = np.sin(3 * x) + 0.1 * np.exp(steep * (x - 0.5)) * rng.standard_normal(len(x))
    return x[:, None], y


def test_noise_is_found_to_grow_where_it_does() -> None:
    shape = noise_shape(SPACE.groups, *replicates(3.0), length=0.5)
    assert shape is not None
    low, high = shape(np.array([[0.05], [0.95]]))
    assert 4 < high / low < 40  # the truth is 15


def test_equal_noise_is_hardly_ever_found_to_differ() -> None:
    found = [noise_shape(SPACE.groups, *replicates(0.0, seed=seed), length=0.5) for seed in range(60)]
    assert sum(shape is not None for shape in found) <= 8  # 3 are expected


def test_without_replicates_there_is_no_pattern() -> None:
    x, y = replicates(3.0, each=1)
    assert noise_shape(SPACE.groups, x, y, length=0.5) is None
    assert noise_shape(SPACE.groups, np.repeat(x, 2, axis=0), np.repeat(y, 2), length=0.5) is None


def test_intervals_are_as_wide_as_the_noise_is_where_they_are() -> None:
    held = []
    for seed in range(8):
        process = fit_gaussian_process(SPACE.groups, *replicates(3.0, designs=15, each=5, seed=seed), seed=0)
        quiet, loud = process.predict(np.array([[0.1], [0.9]])).aleatoric
        assert loud > 3 * quiet  # the truth is 11
        rng, new = np.random.default_rng(seed), np.linspace(0, 1, 300)
        truth = np.sin(3 * new) + 0.1 * np.exp(3 * (new - 0.5)) * rng.standard_normal(300)
        low, high = process.interval(new[:, None], 0.9)
        held.append(((low <= truth) & (truth <= high)).reshape(3, 100).mean(1))
    # Noise that is the same everywhere would hold all on the left and three quarters on the right.
    np.testing.assert_allclose(np.mean(held, 0), 0.9, atol=0.06)
