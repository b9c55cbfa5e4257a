"""What a MONAI bundle carries as ``scripts``: copied into it, so that it runs without mixcl_auto."""
