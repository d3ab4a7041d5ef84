"""What the parts of a board measure."""
