"""Components that say something, and what they say in each language."""

from __future__ import annotations

from typing import Any, TypeVar

import gradio as gr

from .texts import say

Component = TypeVar("Component")


class Wording:
    """The components whose words follow the language of the interface. They are built in English."""

    def __init__(self) -> None:
        self._texts: list[tuple[Any, str, str, dict[str, Any]]] = []

    def follows(self, component: Component, place: str, key: str, **values: Any) -> Component:
        """Have `place` of a component, such as its label, follow the language.

        Args:
            component: what says it.
            place: a property of it.
            key: a text of `texts.TEXTS`.
            values: what stands in the braces of the text.
        """
        self._texts.append((component, place, key, values))
        return component

    def button(self, key: str, id: str, **options: Any) -> gr.Button:
        """A button that says the text of `key`."""
        return self.follows(gr.Button(say("en", key), elem_id=id, **options), "value", key)

    def markdown(self, key: str, **values: Any) -> gr.Markdown:
        """A line or two."""
        return self.follows(gr.Markdown(say("en", key, **values)), "value", key, **values)

    def box(self, key: str, id: str, limit: int) -> gr.Textbox:
        """A box for a text of at most `limit` characters, which it states and the server checks."""
        info = say("en", "limit_info", limit=limit)
        box = gr.Textbox(label=say("en", key), info=info, lines=4, max_lines=12, elem_id=id, min_width=280)
        return self.follows(self.follows(box, "info", "limit_info", limit=limit), "label", key)

    @property
    def components(self) -> list[Any]:
        """All of them, each once."""
        return list(dict.fromkeys(component for component, *_ in self._texts))

    def updates(self, language: str) -> dict[Any, dict[str, Any]]:
        """The properties of each component in `language`."""
        changes: dict[Any, dict[str, Any]] = {component: {} for component in self.components}
        for component, place, key, values in self._texts:
            changes[component][place] = say(language, key, **values)
        return changes
