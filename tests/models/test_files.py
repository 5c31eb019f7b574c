"""Files of parameters come back as they were, or say what is wrong with them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given

import gedanken.models.files as files
from gedanken.errors import FileError
from gedanken.models.files import read_meta, read_tree, write_tree


class Pair(NamedTuple):
    first: Any
    second: Any


class Net(eqx.Module):
    layers: list[eqx.nn.Linear]
    activation: Any
    key: jax.Array
    scale: float
    width: int = eqx.field(static=True)


def make_net(seed: int) -> Net:
    a, b, c = jax.random.split(jax.random.key(seed), 3)
    return Net([eqx.nn.Linear(3, 4, key=a), eqx.nn.Linear(4, 2, key=b)], jax.nn.silu, c, 0.5 + seed, 4)


def same(left: Any, right: Any) -> bool:
    """Whether two trees agree in structure, leaf types, dtypes, shapes and every bit."""

    def plain(leaf: Any) -> Any:
        is_key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    lefts, rights = jax.tree.leaves(left), jax.tree.leaves(right)
    return jax.tree.structure(left) == jax.tree.structure(right) and all(
        isinstance(a, jax.Array) == isinstance(b, jax.Array)
        and (isinstance(a, jax.Array) or type(a) is type(b))
        and (a is b or (a.dtype == b.dtype and a.shape == b.shape and plain(a).tobytes() == plain(b).tobytes()))
        for a, b in zip(lefts, rights, strict=True)
    )


def tensor_file(folder: Path) -> Path:
    (path,) = folder.glob("tensors-*.safetensors")
    return path


def test_a_module_with_its_optimiser_comes_back_bit_for_bit(tmp_path: Path) -> None:
    net = make_net(1)
    optimiser = optax.adamw(1e-3)
    state = optimiser.init(eqx.filter(net, eqx.is_inexact_array))
    write_tree(tmp_path / "net", {"net": net, "state": state}, kind="test", meta={"sizes": [3, 4, 2]})

    other = make_net(2)
    template = {"net": other, "state": optimiser.init(eqx.filter(other, eqx.is_inexact_array))}
    read = read_tree(tmp_path / "net", template, kind="test")

    assert same(eqx.filter(read, eqx.is_array), eqx.filter({"net": net, "state": state}, eqx.is_array))
    assert read["net"].scale == 2.5, "a Python number is the template's, not the file's"
    assert jax.random.bits(read["net"].key) == jax.random.bits(net.key)
    assert read_meta(tmp_path / "net", kind="test") == {"sizes": [3, 4, 2]}
    x = jnp.ones(3)
    np.testing.assert_array_equal(read["net"].layers[0](x), net.layers[0](x))


def test_a_shape_only_template_comes_back_as_jax_arrays(tmp_path: Path) -> None:
    net = make_net(1)
    write_tree(tmp_path / "net", net, kind="net", meta={})
    template = eqx.filter_eval_shape(make_net, 0)
    assert same(
        eqx.filter(read_tree(tmp_path / "net", template, kind="net"), eqx.is_array), eqx.filter(net, eqx.is_array)
    )


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_prng_keys_keep_their_implementation(tmp_path: Path, impl: str) -> None:
    keys = jax.random.split(jax.random.key(3, impl=impl), 5)
    write_tree(tmp_path / "k", keys, kind="key", meta={})
    read = read_tree(tmp_path / "k", jax.random.split(jax.random.key(0, impl=impl), 5), kind="key")
    assert read.dtype == keys.dtype
    assert same(read, keys)
    other = jax.random.split(jax.random.key(0, impl="rbg" if impl != "rbg" else "threefry2x32"), 5)
    with pytest.raises(FileError, match=r"value.*does not fit"):
        read_tree(tmp_path / "k", other, kind="key")


_dtypes = st.sampled_from(sorted(files._DTYPES)).map(np.dtype)
_arrays = _dtypes.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
_leaves = st.one_of(
    _arrays,
    _arrays.map(lambda array: np.asarray(array.T)),
    _arrays.filter(lambda array: array.size > 0).map(lambda array: array.reshape(-1)[0]),
    hnp.arrays(np.float32, hnp.array_shapes(max_side=3)).map(jnp.asarray),
    hnp.arrays(np.dtype(">f8"), 3),
    st.integers(0, 2**31).map(jax.random.key),
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
)
_trees = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=4), inner, max_size=3),
        st.dictionaries(st.integers(), inner, max_size=3),
        st.tuples(inner, inner),
        st.builds(Pair, inner, inner),
    ),
    max_leaves=6,
)


def blank(leaf: Any) -> Any:
    """A leaf like `leaf` without its numbers."""
    if isinstance(leaf, jax.Array):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return jax.random.key(0) if is_key else jnp.zeros_like(leaf)
    if isinstance(leaf, np.generic):
        return leaf.dtype.type(0)
    return np.zeros_like(leaf) if isinstance(leaf, np.ndarray) else leaf


@given(tree=_trees)
def test_every_pytree_comes_back_as_it_was(tree: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("tree") / "folder"
    write_tree(folder, tree, kind="any", meta={})
    assert same(read_tree(folder, jax.tree.map(blank, tree), kind="any"), tree)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(meta=st.dictionaries(st.text(), _json, max_size=3))
def test_meta_comes_back_as_it_was(meta: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("meta")
    write_tree(folder, (), kind="any", meta=meta)
    assert read_meta(folder, kind="any") == meta


@pytest.mark.parametrize("meta", [{"x": float("nan")}, {"x": np.zeros(2)}, {("a", 1): 2}, {"x": {1, 2}}])
def test_meta_that_is_no_json_is_refused_and_nothing_is_written(tmp_path: Path, meta: Any) -> None:
    with pytest.raises(FileError, match="no JSON"):
        write_tree(tmp_path / "x", {}, kind="any", meta=meta)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([None]), jnp.zeros(2, jnp.bfloat16)])
def test_an_array_that_safetensors_cannot_hold_is_named(tmp_path: Path, array: Any) -> None:
    with pytest.raises(FileError, match=r"\['weights'\]\[0\]"):
        write_tree(tmp_path / "x", {"weights": [array]}, kind="any", meta={})


# --- Files that are not what they should be -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ({"a": np.zeros(3, np.float32)}, r"not in the template: \['b'\]"),
        ({"a": np.zeros(3, np.float32), "b": np.zeros(2), "c": np.zeros(1)}, r"not in the files: \['c'\]"),
        ({"a": np.zeros(3, np.float64), "b": np.zeros(2)}, r"\['a'\].*does not fit.*float32.*float64"),
        ({"a": np.zeros((3, 1), np.float32), "b": np.zeros(2)}, r"\['a'\].*does not fit.*\[3\].*\[3, 1\]"),
        ({"a": np.zeros(3, np.float32), "b": jax.random.key(0)}, r"\['b'\].*does not fit.*float64.*key<fry>"),
    ],
)
def test_a_template_that_does_not_fit_is_refused_by_leaf(tmp_path: Path, template: Any, message: str) -> None:
    write_tree(tmp_path, {"a": np.ones(3, np.float32), "b": np.ones(2)}, kind="any", meta={})
    with pytest.raises(FileError, match=message):
        read_tree(tmp_path, template, kind="any")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    write_tree(tmp_path / "saved", {"a": np.arange(5.0)}, kind="any", meta={"of": "me"})
    return tmp_path / "saved"


def read(folder: Path) -> Any:
    return read_tree(folder, {"a": np.zeros(5)}, kind="any")


def test_every_changed_or_missing_byte_of_the_tensors_is_found(saved: Path) -> None:
    path = tensor_file(saved)
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(FileError, match=path.name):
            read(saved)
        path.write_bytes(content[:at])
        with pytest.raises(FileError, match=path.name):
            read(saved)
    path.unlink()
    with pytest.raises(FileError, match=r"tensors-.* is missing"):
        read(saved)
    path.write_bytes(content)
    np.testing.assert_array_equal(read(saved)["a"], np.arange(5.0))


def test_every_changed_or_missing_byte_of_the_manifest_is_found(saved: Path) -> None:
    path = saved / "manifest.json"
    content = path.read_bytes()
    for at in range(len(content)):
        for damaged in (content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :], content[:at]):
            path.write_bytes(damaged)
            with pytest.raises(FileError, match="manifest.json"):
                read_meta(saved, kind="any")
    path.unlink()
    with pytest.raises(FileError, match="is missing"):
        read(saved)


def test_another_version_another_kind_and_no_folder_are_told_apart(saved: Path) -> None:
    with pytest.raises(FileError, match=r"something else.*Given: any.*Expected: ensemble"):
        read_meta(saved, kind="ensemble")
    path = saved / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 2}))
    with pytest.raises(FileError, match=r"another schema version.*Given: 2.*Expected: 1.*release"):
        read(saved)
    with pytest.raises(FileError, match=r"nowhere/manifest.json is missing"):
        read(saved.parent / "nowhere")


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "../../../other"},
        {"sha256": 7},
        {"kind": None},
        {"tensors": []},
        {"tensors": {"['a']": None}},
        {"tensors": {"['a']": {"dtype": "key<fry>", "shape": [5], "key": "none"}}},
    ],
)
def test_a_manifest_that_somebody_sealed_anew_is_still_checked(saved: Path, change: dict[str, Any]) -> None:
    path = saved / "manifest.json"
    body = {**json.loads(path.read_text()), **change}
    del body["manifest_sha256"]
    path.write_text(json.dumps({**body, "manifest_sha256": files._digest(body)}))
    with pytest.raises(FileError):
        read(saved)


@pytest.mark.parametrize("text", ["[]", "7", "[" * 100_000, "{}", "\x00", '{"schema": 1}'])
def test_any_other_file_in_the_manifests_place_is_refused(saved: Path, text: str) -> None:
    (saved / "manifest.json").write_text(text)
    with pytest.raises(FileError, match="manifest.json"):
        read(saved)


# --- Writers that are stopped ---------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for SIGKILL: no handler of `Exception` or `OSError` runs."""


def _stop_at(monkeypatch: pytest.MonkeyPatch, call: int, error: BaseException) -> list[str]:
    """Lets the call-th system call of `files` (and all after it) fail with `error`."""
    calls: list[str] = []

    def stopping(name: str, original: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            if len(calls) > call:
                raise error
            return original(*args, **kwargs)

        return wrapped

    for name in ("fsync", "replace", "rename", "mkdir"):
        monkeypatch.setattr(os, name, stopping(name, getattr(os, name)))
    return calls


def _read_or_none(folder: Path) -> Any:
    return read(folder)["a"].tolist() if folder.exists() else None


@pytest.mark.parametrize("error", [Killed(), OSError(28, "No space left on device")], ids=["killed", "disk full"])
@pytest.mark.parametrize("existing", [False, True], ids=["first write", "rewrite"])
def test_a_writer_stopped_at_any_system_call_leaves_the_old_or_the_new(
    tmp_path: Path, error: BaseException, existing: bool
) -> None:
    seen = set()
    for call in range(50):
        folder = tmp_path / str(call) / "saved"
        if existing:
            write_tree(folder, {"a": np.zeros(5)}, kind="any", meta={})
        with pytest.MonkeyPatch.context() as monkeypatch:
            calls = _stop_at(monkeypatch, call, error)
            try:
                write_tree(folder, {"a": np.ones(5)}, kind="any", meta={})
                done = True
            except (Killed, FileError):
                done = False
        now = _read_or_none(folder)
        assert now in ([0.0] * 5 if existing else None, [1.0] * 5)
        seen.add(str(now))
        write_tree(folder, {"a": np.full(5, 2.0)}, kind="any", meta={})
        assert _read_or_none(folder) == [2.0] * 5
        assert sorted(path.name for path in folder.parent.iterdir()) == ["saved"], "the next writer tidies up"
        assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", tensor_file(folder).name]
        if done:
            assert call == len(calls) and call >= 6
            break
    else:
        pytest.fail("the write never came to an end")
    assert len(seen) == 2


def test_writing_the_same_again_and_over_other_files_is_fine(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    for _ in range(2):
        write_tree(tmp_path, {"a": np.arange(5.0)}, kind="any", meta={})
    np.testing.assert_array_equal(read(tmp_path)["a"], np.arange(5.0))
    assert (tmp_path / "note.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "below"):
        with pytest.raises(FileError, match=r"taken.*could not be written.*Do: free space"):
            write_tree(folder, {}, kind="any", meta={})
    assert (tmp_path / "taken").read_text() == "a file"


@pytest.mark.slow
def test_a_writer_killed_at_any_time_leaves_a_whole_tree(tmp_path: Path) -> None:
    program = (
        "import sys, itertools, pathlib, numpy as np\n"
        "from gedanken.models.files import write_tree\n"
        "for i in itertools.count():\n"
        "    write_tree(pathlib.Path(sys.argv[1]), {'a': np.full(100_000, float(i))}, kind='any', meta={'i': i})\n"
    )
    folder = tmp_path / "saved"
    for attempt in range(8):
        process = subprocess.Popen([sys.executable, "-c", program, str(folder)])
        before = read_meta(folder, kind="any")["i"] if folder.exists() else None
        deadline = time.monotonic() + 60
        while not folder.exists() or read_now(folder) == before:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.013 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        values = read_tree(folder, {"a": np.zeros(100_000)}, kind="any")["a"]
        assert (values == read_meta(folder, kind="any")["i"]).all()


def read_now(folder: Path) -> int:
    return int(read_meta(folder, kind="any")["i"])
