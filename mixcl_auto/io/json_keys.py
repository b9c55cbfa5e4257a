"""Keys that stand twice in a JSON document: its readers keep the last one without a word."""

import json
from collections import Counter
from typing import Any

from mixcl_auto.records.names import shown

_MOST_SHOWN = 20


def parse_json(text: str) -> tuple[Any, str]:
    """A JSON document's value, and the keys that stand twice in one object, for a message.

    Raises:
        ValueError: if it is not JSON, or a number has thousands of digits.
        RecursionError: if it is nested too deeply.
    """
    twice: list[str] = []

    def note_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return found

    value = json.loads(text, object_pairs_hook=note_repeated)
    return value, ", ".join(map(shown, list(dict.fromkeys(twice))[:_MOST_SHOWN]))
