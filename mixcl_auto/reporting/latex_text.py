"""Text that LaTeX prints as it is."""

import re

_ESCAPED = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    '"': "''",
    "±": r"$\pm$",
    "\u2212": "$-$",
    "\u00d7": r"$\times$",
    "\u2264": r"$\leq$",
    "\u2265": r"$\geq$",
    "\u00b5": r"\textmu{}",
    "✓": r"\checkmark",
}
_NOT_IN_OT1 = "\u00ad«»ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲųſ"
"""Letters below U+0180 that LaTeX's default fonts lack."""
_PUNCTUATION = "\u2018\u2019\u201c\u201d\u2013\u2014\u2026\u2022"
"""Quotation marks, dashes, ellipsis and bullet."""
_MINUS = re.compile(r"(?<![^\s(])-(?=[\d ])")


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it is, with a minus sign before negative figures.

    A character that LaTeX's default fonts lack is printed as its code point, such as U+0105: it would stop
    the compilation.
    """
    parts: list[str] = []
    for place, piece in enumerate(_MINUS.split(text)):
        parts += ["$-$"] if place else []
        parts.append(re.sub(r"-(?=-)", "-{}", "".join(map(_escape, piece))))
    return "".join(parts)


def _escape(character: str) -> str:
    if character.isspace():
        return " "
    if character in _ESCAPED:
        return _ESCAPED[character]
    is_latin = character.isprintable() and character < "\u0180" and character not in _NOT_IN_OT1
    return character if is_latin or character in _PUNCTUATION else f"U+{ord(character):04X}"
