"""The verdicts put together by the question that they answer."""

from collections.abc import Sequence

from mixcl_auto.reporting.headline import Verdict
from mixcl_auto.reporting.roles import Question
from mixcl_auto.reporting.table_formats import escape_markdown

QUESTIONS: dict[Question, str] = {
    "pre-training": "Does pre-training help? Minus random weights",
    "weights": "Do the weights help, or the lower rate? Minus random weights that learn as slowly",
    "objective": "Does MixCL's objective help? Minus pre-training by segmentation of the pool",
    "ablation": "What does each term of MixCL do? Without it, minus the whole",
    "rate": "What the lower rate does by itself: minus random weights at the full rate",
    "control": "What chance does: other random weights minus random weights",
}
_CHANCE = 0.05
"""How often a 95 % interval leaves out a true 0."""
NOTHING_FOUND = "No two arms have a run of one fold and seed yet."


def by_question(verdicts: Sequence[Verdict]) -> list[tuple[str, Sequence[Verdict]]]:
    """The questions that have verdicts, each with these."""
    groups = {title: [v for v in verdicts if v.question == key] for key, title in QUESTIONS.items()}
    return [(title, group) for title, group in groups.items() if group]


def findings_markdown(verdicts: Sequence[Verdict], lacking: str = "") -> str:
    """What the grid lacks, then all verdicts as Markdown, a list per question."""
    parts = [lacking] if lacking else []
    if not verdicts:
        parts.append(NOTHING_FOUND)
    for title, group in by_question(verdicts):
        lines = [f"- {escape_markdown(f'{each.sentence} {each.caution}'.rstrip())}" for each in group]
        parts.append("\n".join([f"**{title}**", "", *lines]))
    if note := multiplicity_note(verdicts):
        parts.append(note)
    return "\n\n".join(parts) + "\n"


def multiplicity_note(verdicts: Sequence[Verdict]) -> str:
    """How many gains and losses chance makes among the comparisons; empty below two that may be one."""
    compared = sum(verdict.outcome not in ("too few runs", "nothing found") for verdict in verdicts)
    if compared < 2:
        return ""
    return (
        f"{compared} comparisons, each at 95 %: about {_CHANCE * compared:.2g} come out as a gain or a loss "
        "by chance alone. Folds share training cases, the more the larger the share of labels, which no "
        "interval allows for: with all labels they are rather too narrow."
    )
