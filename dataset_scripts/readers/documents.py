"""What every reader yields, and what the corpora read from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol


class Document(NamedTuple):
    """A text and the language it is in.

    Attributes:
        record: the published record that the text is taken from, such as a PubMed citation. A record of a later
            part replaces all texts of the same record in earlier parts. Empty where records are never revised.
    """

    id: str
    language: str
    text: str
    record: str = ""


class Withdrawal(NamedTuple):
    """A record that was withdrawn: its texts in earlier parts are left out."""

    record: str


class Part(Protocol):
    """One piece of a source, such as a file: read from its beginning to its end by one process. Picklable."""

    @property
    def name(self) -> str:
        """What progress bars, logs and errors call it; the same wherever the corpora are made."""
        ...

    def read(self) -> Iterator[Document | Withdrawal]:
        """The texts, in an order that is always the same.

        Raises:
            InputError: input that is damaged or not of the expected form.
        """
        ...
