"""Edits of a plan from the command line, and the difference of two plans."""

import json
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from mixcl_auto.errors import PlanError, RunError
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.plan_fields import Method, Term
from mixcl_auto.records.record import describe_mistakes

EDITABLE_SECTIONS = ("preprocess", "network", "pretrain", "finetune", "inference", "experiment")

_JSON_HINT = (
    "words and keys in lists and objects have double quotes, within the shell's single ones: "
    """'experiment.inits=["scratch", "mixcl"]', 'experiment.fraction_seeds={"0.5": [0]}'"""
)


def edit_plan(plan: Plan, edits: Iterable[str]) -> Plan:
    """Apply edits of the form ``section.key=value`` (values are JSON; a bare word is a string).

    Raises:
        PlanError: naming every edit that is malformed, unknown or out of range.
    """
    document = plan.model_dump(mode="json")
    mistakes = []
    for edit in edits:
        path, equals, text = edit.partition("=")
        section, dot, key = path.strip().partition(".")
        if not (equals and dot) or section not in EDITABLE_SECTIONS:
            mistakes.append(
                f"  {edit}: write SECTION.KEY=VALUE with a section of {', '.join(EDITABLE_SECTIONS)}"
            )
        elif key not in document[section]:
            mistakes.append(f"  {edit}: {section} has no {key!r}; {_alternatives(key, document[section])}")
        elif _is_broken_json(value := _parse_value(text.strip())):
            mistakes.append(f"  {edit}: no valid JSON; {_JSON_HINT}")
        else:
            document[section][key] = value
            _keep_one_length(document[section], key)
    if mistakes:
        raise PlanError("\n".join([f"{len(mistakes)} edit(s) can't be applied:", *mistakes]))
    try:
        return Plan.model_validate_json(json.dumps(document))
    except ValidationError as problem:
        raise PlanError(describe_mistakes(problem, "the edited plan")) from None


def _alternatives(key: str, fields: Iterable[str]) -> str:
    """The fields that a misspelt one may have been meant for; all of them if none is like it."""
    close = get_close_matches(key, fields)
    return f"did you mean {' or '.join(close)}?" if close else f"it has {', '.join(fields)}"


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # no JSON, a number of thousands of digits, thousands of brackets
        return text


def _is_broken_json(value: Any) -> bool:
    """Whether a text that was no JSON begins as a list or an object, which shells and habits unquote."""
    return isinstance(value, str) and value.startswith(("[", "{"))


def _keep_one_length(section: dict[str, Any], key: str) -> None:
    """Setting ``epochs`` unsets ``iterations`` and the reverse."""
    other = {"epochs": "iterations", "iterations": "epochs"}.get(key)
    if other is not None and section[key] is not None:
        section[other] = None


def use_method(plan: Plan, method: Method | None) -> Plan:
    """The plan with another method of pre-training, where one is given."""
    if method is None:
        return plan
    section = plan.pretrain.model_copy(update={"method": method})
    return plan.model_copy(update={"pretrain": section})


def leave_out(plan: Plan, without: Iterable[Term]) -> Plan:
    """The plan without these terms, beside those that it leaves out already.

    Raises:
        RunError: if no term is left, or the plan's method has no terms.
    """
    terms = tuple(sorted({*plan.pretrain.without, *without}))
    if terms and plan.pretrain.method != "mixcl":
        raise RunError(
            f"--without and pretrain.without leave out terms of MixCL's loss, and the method "
            f"{plan.pretrain.method} has none: drop {', '.join(terms)}, or use --method mixcl"
        )
    if len(terms) == 3:
        raise RunError("--without names all three terms; leave at least one")
    section = plan.pretrain.model_copy(update={"without": terms})
    return plan.model_copy(update={"pretrain": section})


def plan_differences(first: Plan, second: Plan, sections: Iterable[str] = EDITABLE_SECTIONS) -> list[str]:
    """One line per field of the given sections that differs, such as ``pretrain.seed: 0 and 1``."""
    one, two = first.model_dump(mode="json"), second.model_dump(mode="json")
    return [
        f"{section}.{key}: {one[section][key]} and {two[section][key]}"
        for section in sections
        for key in one[section]
        if one[section][key] != two[section][key]
    ]
