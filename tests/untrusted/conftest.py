"""The fuzz tests' two lengths: short and repeatable in the suite, long and random when asked for.

Long: ``pytest tests/untrusted --hypothesis-profile soak``, or HYPOTHESIS_PROFILE=soak in the environment.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "soak",
    max_examples=5_000,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
if os.environ.get("HYPOTHESIS_PROFILE") == "soak":
    settings.load_profile("soak")
