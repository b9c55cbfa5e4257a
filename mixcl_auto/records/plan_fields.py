"""Kinds of values that the plan's sections share."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Level = Annotated[int, Field(ge=0, le=4)]
Levels = Annotated[
    tuple[Level, ...],
    Field(min_length=1),
    BeforeValidator(lambda value: (value,) if isinstance(value, int) else value),
]
"""One level or several; a number alone is one."""
Side = Annotated[int, Field(ge=16, multiple_of=16)]
Term = Literal["identity", "label", "reconstruction"]
Method = Literal["mixcl", "supervised"]

SCRATCH, MIXCL, SUPERVISED = "scratch", "mixcl", "supervised"
"""Initial weights that every plan can have: random ones, and the two methods of pre-training."""
SCRATCH_SLOW = "scratch-slow"
"""The random weights of ``scratch``, whose encoder learns at the rate of a pre-trained one."""
