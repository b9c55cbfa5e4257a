"""Kinds of values that the plan's sections share."""

from typing import Annotated, Literal

from pydantic import Field

Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Side = Annotated[int, Field(ge=16, multiple_of=16)]
Term = Literal["identity", "label", "reconstruction"]
Method = Literal["mixcl", "supervised"]

SCRATCH, MIXCL, SUPERVISED = "scratch", "mixcl", "supervised"
"""Initial weights that every plan can have: random ones, and the two methods of pre-training."""
