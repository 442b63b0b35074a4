"""All names of a knowledge base as columns, for what works on millions of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class NameTable(NamedTuple):
    """One row a name, sorted by concept, then language, the preferred name of both first.

    Attributes:
        languages: ISO 639-1 codes, in the order that was asked.
        concepts: ids of all concepts, sorted; large_string.
        concept: of each name, its place in `concepts`; int32.
        language: of each name, its place in `languages`; uint8.
        preferred: whether it is the preferred name of its concept in its language; bool.
        names: as in running text; large_string.
    """

    languages: tuple[str, ...]
    concepts: pa.LargeStringArray
    concept: NDArray[np.int32]
    language: NDArray[np.uint8]
    preferred: NDArray[np.bool_]
    names: pa.LargeStringArray
