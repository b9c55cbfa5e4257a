"""How fast and how large mixcl_auto is, beside the tools that users have today. Run by hand."""
