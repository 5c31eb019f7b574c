"""Parameters on disk: the arrays of any pytree as safetensors, beside a JSON manifest that vouches for them.

A folder holds two files. `manifest.json` says what was saved (kind, schema version, meta, name, dtype and shape of
every array) and carries the sha256 of the tensor file and of itself; `tensors-<sha256, 16 digits>.safetensors` holds
the numbers. The manifest is put in place last and by one rename, so whoever reads after a kill finds what was there
before or what was being written, never a mixture. Nothing is unpickled, so a file can hold numbers but no code. The
checksums find damage and careless edits; they are no signature against somebody who rewrites both files.

A folder has one writer at a time.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from gedanken.errors import FileError

SCHEMA = 1
MANIFEST = "manifest.json"

_DTYPES = frozenset(
    {"bool", "complex64", "float16", "float32", "float64"}
    | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)
_SAVE_AGAIN = "write it again from its source, or restore the folder from a copy."

Tree = TypeVar("Tree")


def write_tree(folder: Path, tree: Any, *, kind: str, meta: Mapping[str, Any]) -> None:
    """Writes the array leaves of `tree` to `folder`, replacing what it held before in one atomic step.

    Arrays (jax, numpy, and typed jax PRNG keys) are saved by key path. All other leaves (Python numbers, functions,
    text) belong to the template that `read_tree` is given and are not saved. Other files in `folder` are left alone.

    Args:
        folder: made if it is missing.
        tree: any pytree: an equinox module, an optax state, named tuples, dicts, a single array.
        kind: what this is, such as "ensemble"; `read_tree` and `read_meta` must name the same.
        meta: whatever else a reader must know, as JSON (no NaN, no infinity).

    Raises:
        FileError: an array has a dtype that safetensors cannot hold, `meta` is no JSON, or the disk refuses. What the
            folder held before is still there.
    """
    arrays, entries = _to_arrays(folder, tree)
    tensors = safetensors.numpy.save(arrays)
    sha256 = hashlib.sha256(tensors).hexdigest()
    manifest = _seal(folder, {"schema": SCHEMA, "kind": kind, "meta": meta, "tensors": entries, "sha256": sha256})
    try:
        # A folder that is not there yet appears whole; one that is there keeps its old manifest until the last rename.
        target = folder if folder.is_dir() else _fresh_sibling(folder)
        _put(target / _tensor_name(sha256), tensors)
        _put(target / MANIFEST, manifest)
        if target != folder:
            os.rename(target, folder)
            _sync_folder(folder.parent)
        for stale in folder.glob("tensors-*.safetensors*"):
            if stale.name != _tensor_name(sha256):
                stale.unlink()
    except OSError as error:
        raise FileError(
            f"The folder {folder} could not be written.",
            given=error,
            expected="a writable place with room for it",
            do="free space or choose another folder; what it held before is unharmed.",
        ) from error


def read_meta(folder: Path, *, kind: str) -> dict[str, Any]:
    """The `meta` that `write_tree` was given, without reading the tensors.

    Raises:
        FileError: the manifest is missing, damaged, of another kind or of another schema version.
    """
    meta: dict[str, Any] = _read_manifest(folder, kind)["meta"]
    return meta


def read_tree(folder: Path, template: Tree, *, kind: str) -> Tree:
    """Fills the array leaves of `template` with what `write_tree` saved; all other leaves stay as they are.

    Args:
        folder: what `write_tree` wrote.
        template: a pytree of the saved structure. Its arrays give names, shapes, dtypes and whether a leaf comes back
            as a jax or a numpy array; `jax.ShapeDtypeStruct` leaves come back as jax arrays.
        kind: what `write_tree` was given.

    Raises:
        FileError: a file is missing, damaged, of another kind or schema version, or an array has another name, dtype
            or shape than the template.
    """
    manifest = _read_manifest(folder, kind)
    path = folder / _tensor_name(manifest["sha256"])
    content = _read(path)
    if hashlib.sha256(content).hexdigest() != manifest["sha256"]:
        raise FileError(
            f"The file {path} was changed or cut after it was written.",
            given=f"{len(content)} bytes with another sha256",
            expected=f"the sha256 in {folder / MANIFEST}",
            do=_SAVE_AGAIN,
        )
    try:
        arrays = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise FileError(f"The file {path} is no safetensors file.", given=error, do=_SAVE_AGAIN) from error

    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    names = {_name(key_path) for key_path, leaf in leaves if _is_array(leaf)}
    entries = manifest["tensors"]
    if not names == entries.keys() == arrays.keys():
        raise FileError(
            f"The arrays in {folder} are not those of this {kind}.",
            given=f"not in the template: {_some(entries.keys() - names)}",
            expected=f"not in the files: {_some(names - (entries.keys() & arrays.keys()))}",
            do="read it with the configuration it was written with (see its meta).",
        )
    filled = [
        _restore(folder, name, arrays[name], entries[name], leaf) if _is_array(leaf) else leaf
        for name, leaf in ((_name(key_path), leaf) for key_path, leaf in leaves)
    ]
    result: Tree = jax.tree_util.tree_unflatten(structure, filled)
    return result


# --- Leaves ---------------------------------------------------------------------------------------------------------


def _name(key_path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(key_path) or "value"


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct)


def _is_key(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _to_arrays(folder: Path, tree: Any) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
    """Every array leaf as a contiguous numpy array, and its line in the manifest."""
    arrays: dict[str, np.ndarray] = {}
    entries: dict[str, dict[str, Any]] = {}
    for key_path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if not _is_array(leaf):
            continue
        name = _name(key_path)
        entries[name] = {"dtype": _dtype(leaf), "shape": list(leaf.shape)}
        if _is_key(leaf):
            entries[name]["key"] = str(jax.random.key_impl(leaf))
            leaf = jax.random.key_data(leaf)
        elif leaf.dtype.name not in _DTYPES:
            raise FileError(
                f"The array {name} cannot be written to {folder}.",
                given=leaf.dtype,
                expected=f"one of {', '.join(sorted(_DTYPES))}, or a jax PRNG key",
                do="cast it before it is saved.",
            )
        if name in arrays:
            raise FileError(f"Two arrays of the tree for {folder} are both called {name}.", do="rename one.")
        array = np.asarray(leaf)
        # safetensors writes memory as it lies, so order and byte order must be the plain ones.
        arrays[name] = np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")
    return arrays, entries


def _dtype(leaf: Any) -> str:
    return str(leaf.dtype) if _is_key(leaf) else str(leaf.dtype.name)


def _restore(folder: Path, name: str, array: np.ndarray, entry: Any, leaf: Any) -> Any:
    """The stored array as the kind of leaf that the template has there."""
    wanted = (_dtype(leaf), list(leaf.shape))
    given: tuple[Any, Any] = (entry.get("dtype"), entry.get("shape")) if isinstance(entry, dict) else (None, None)
    value: Any = array
    if given == wanted and _is_key(leaf):
        try:
            value = jax.random.wrap_key_data(jnp.asarray(array), impl=entry["key"])
        except (TypeError, ValueError, KeyError) as error:
            raise FileError(f"The array {name} in {folder} is no PRNG key.", given=error, do=_SAVE_AGAIN) from error
    if given == wanted:
        given = (_dtype(value), list(value.shape))
    if given != wanted:
        raise FileError(
            f"The array {name} in {folder} does not fit.",
            given=f"{given[0]} {given[1]}",
            expected=f"{wanted[0]} {wanted[1]}",
            do="read it with the configuration it was written with (see its meta).",
        )
    if _is_key(leaf):
        return value
    if isinstance(leaf, np.generic):
        return array[()]
    # Copies: the loaded array is a read-only view of the file's bytes.
    return np.array(array, dtype=leaf.dtype) if isinstance(leaf, np.ndarray) else jnp.array(array)


def _some(names: Any) -> str:
    listed = sorted(names)
    return ", ".join(listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "") if listed else "none"


# --- Files ----------------------------------------------------------------------------------------------------------


def _seal(folder: Path, body: Mapping[str, Any]) -> bytes:
    """The manifest's text, with its own checksum in it."""
    try:
        plain = json.loads(json.dumps({**body, "meta": dict(body["meta"])}, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise FileError(
            f"The meta for {folder} is no JSON.",
            given=error,
            expected="a dict of text, finite numbers, bool, None, lists and dicts with text as keys",
            do="save arrays and NaN as leaves of the tree instead.",
        ) from error
    return json.dumps({**plain, "manifest_sha256": _digest(plain)}, indent=1, sort_keys=True).encode()


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _read_manifest(folder: Path, kind: str) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise FileError(f"The file {path} is no JSON.", given=error, do=_SAVE_AGAIN) from error
    if not isinstance(manifest, dict):
        raise FileError(f"The file {path} is no manifest.", given=type(manifest).__name__, do=_SAVE_AGAIN)
    # The version comes first: a manifest of another version may be sealed in another way.
    if manifest.get("schema") != SCHEMA:
        raise FileError(
            f"The file {path} is of another schema version.",
            given=manifest.get("schema"),
            expected=SCHEMA,
            do="read it with the release of gedanken that wrote it.",
        )
    seal = manifest.pop("manifest_sha256", None)
    if seal != _digest(manifest):
        raise FileError(f"The file {path} was changed after it was written.", do=_SAVE_AGAIN)
    # Sealed anew by another hand, it must still not lead anywhere but into this folder.
    fields = {"kind": str, "meta": dict, "tensors": dict, "sha256": str}
    if not all(isinstance(manifest.get(field), type_) for field, type_ in fields.items()) or not re.fullmatch(
        "[0-9a-f]{64}", manifest["sha256"]
    ):
        raise FileError(f"The file {path} is no manifest.", expected=f"the fields {', '.join(fields)}", do=_SAVE_AGAIN)
    if manifest["kind"] != kind:
        raise FileError(
            f"The folder {folder} holds something else.",
            given=manifest["kind"],
            expected=kind,
            do="give the folder that holds it.",
        )
    return manifest


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise FileError(
            f"The file {path} is missing.",
            expected=f"a folder with {MANIFEST} and its tensors-*.safetensors",
            do="check the path, or " + _SAVE_AGAIN,
        ) from error
    except OSError as error:
        raise FileError(f"The file {path} cannot be read.", given=error, do="check its permissions.") from error


def _tensor_name(sha256: str) -> str:
    return f"tensors-{sha256[:16]}.safetensors"


def _fresh_sibling(folder: Path) -> Path:
    sibling = folder.parent / f".{folder.name}.new"
    if sibling.exists():  # left by a writer that was killed
        shutil.rmtree(sibling)
    sibling.mkdir(parents=True)
    return sibling


def _put(path: Path, content: bytes) -> None:
    """Makes `content` the file's content: on disk before the name points to it."""
    unfinished = path.with_name(path.name + ".new")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    os.replace(unfinished, path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
