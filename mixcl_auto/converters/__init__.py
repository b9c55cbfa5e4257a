"""Public datasets as downloaded, described where they lie; one file per dataset."""
