"""How values of a Gymnasium space lie in a column: numbers as numbers, everything else as JSON text.

| space | Arrow column | row of a row file |
|---|---|---|
| Box, MultiDiscrete, MultiBinary | FixedSizeList of the space's dtype, flattened | the array itself |
| Discrete | int64 | int64 |
| Text, Dict, Tuple | large_string: JSON of the space's own `to_jsonable` of a batch of one | where the text lies |
"""

from __future__ import annotations

import json
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import pyarrow as pa

from gedanken.errors import StoreError, UnsupportedSpace

Encoding = Literal["array", "integer", "json"]
POINTER = np.dtype([("at", "<u8"), ("size", "<u4")])


@dataclass(frozen=True)
class Column:
    """One column of values of a space. `name` is only for what errors say."""

    name: str
    space: gym.Space[Any]
    encoding: Encoding = field(init=False)

    def __post_init__(self) -> None:
        encoding: Encoding = "json"
        if isinstance(self.space, gym.spaces.Box | gym.spaces.MultiDiscrete | gym.spaces.MultiBinary):
            encoding = "array"
            if self.size == 0:
                raise UnsupportedSpace(
                    f"The {self.name} holds no numbers at all.",
                    given=self.space,
                    expected="a space with at least one number",
                    do="wrap the env so that its space is not empty.",
                )
        elif isinstance(self.space, gym.spaces.Discrete):
            encoding = "integer"
        object.__setattr__(self, "encoding", encoding)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one value; () unless it is an array."""
        return tuple(self.space.shape or ())

    @property
    def size(self) -> int:
        """How many numbers one value of an array space holds."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def dtype(self) -> np.dtype[Any]:
        """What numpy holds the values in: the space's dtype, int64, or objects where values are decoded JSON."""
        if self.encoding == "array":
            return np.dtype(self.space.dtype)
        return np.dtype(np.int64 if self.encoding == "integer" else object)

    @property
    def arrow_type(self) -> pa.DataType:
        """The type of the column in the journal and in Parquet."""
        if self.encoding == "array":
            # DuckDB knows no float16; float32 holds the same numbers.
            dtype = np.dtype(np.float32) if self.dtype == np.float16 else self.dtype
            return pa.list_(pa.field("item", pa.from_numpy_dtype(dtype), nullable=False), self.size)
        return pa.int64() if self.encoding == "integer" else pa.large_string()

    @property
    def row_type(self) -> tuple[Any, ...]:
        """The dtype (and shape) of the field in a row of a row file."""
        if self.encoding == "array":
            return (self.dtype.newbyteorder("<"), self.shape)
        return ("<i8",) if self.encoding == "integer" else (POINTER,)

    def encode(self, values: Sequence[Any]) -> pa.Array:
        """Values of the space as an Arrow array.

        Raises:
            StoreError: a value has another shape or type than the space, or does not fit into its dtype.
        """
        try:
            if self.encoding == "array":
                return self._encode_arrays(values)
            if self.encoding == "integer":
                return pa.array([operator.index(value) for value in values], pa.int64())
            return pa.array([self._to_text(value) for value in values], pa.large_string())
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
            shown = repr(values[0])[:200] if len(values) else "nothing"
            raise StoreError(
                f"A value of {self.name} is none of its space.",
                given=f"{error!s} ({shown})",
                expected=self.space,
                do="give what the env's spaces hold, or create the store with the env's own spaces.",
            ) from error

    def decode(self, texts: Sequence[str]) -> np.ndarray:
        """JSON texts of this column as an object array of values of the space."""
        values = np.empty(len(texts), object)
        for row, text in enumerate(texts):
            values[row] = self.space.from_jsonable(json.loads(text))[0]
        return values

    def _encode_arrays(self, values: Sequence[Any]) -> pa.Array:
        given = np.stack([np.asarray(value) for value in values]) if len(values) else np.empty((0, *self.shape))
        if given.shape[1:] != self.shape:
            raise ValueError(f"shape {given.shape[1:]} instead of {self.shape}")
        if given.dtype.kind not in "biuf":
            raise TypeError(f"dtype {given.dtype} instead of {self.dtype}")
        with np.errstate(all="ignore"):  # what does not fit is found below, and told in words
            cast = given.astype(self.dtype)
        fits = np.isfinite(cast) | ~np.isfinite(given) if self.dtype.kind == "f" else cast == given
        if not fits.all():
            raise ValueError(f"numbers that {self.dtype} cannot hold")
        kind = self.arrow_type
        return pa.FixedSizeListArray.from_arrays(pa.array(cast.reshape(-1)).cast(kind.value_type), type=kind)

    def _to_text(self, value: Any) -> str:
        jsonable = self.space.to_jsonable([value])
        text = json.dumps(jsonable, ensure_ascii=False)
        try:
            text.encode()
        except UnicodeEncodeError:  # a lone surrogate, which UTF-8 cannot hold but a JSON escape can
            return json.dumps(jsonable)
        return text
