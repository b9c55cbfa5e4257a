"""How fast and how large mixcl_auto is, beside the tools that users have today; run by hand, see README.md."""
