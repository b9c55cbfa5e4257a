"""The verdicts put together by the question that they answer."""

from collections.abc import Sequence

from mixcl_auto.reporting.headline import Verdict
from mixcl_auto.reporting.roles import Question

QUESTIONS: dict[Question, str] = {
    "pre-training": "Does pre-training help? Minus random weights",
    "objective": "Does MixCL's objective help? Minus pre-training by segmentation of the pool",
    "control": "What chance does: other random weights minus random weights",
}
NOTHING_FOUND = "No two arms have a run of one fold and seed yet."


def by_question(verdicts: Sequence[Verdict]) -> list[tuple[str, Sequence[Verdict]]]:
    """The questions that have verdicts, each with these."""
    groups = {title: [v for v in verdicts if v.question == key] for key, title in QUESTIONS.items()}
    return [(title, group) for title, group in groups.items() if group]


def findings_markdown(verdicts: Sequence[Verdict]) -> str:
    """All verdicts as Markdown, a list per question."""
    if not verdicts:
        return f"{NOTHING_FOUND}\n"
    parts = []
    for title, group in by_question(verdicts):
        lines = [f"- {verdict.sentence} {verdict.caution}".rstrip() for verdict in group]
        parts.append("\n".join([f"**{title}**", "", *lines]))
    return "\n\n".join(parts) + "\n"
