"""Pictures of scans and label maps: colours, figures, and planes as radiologists see them."""
