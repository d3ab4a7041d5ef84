"""The levels of a check, one file a level, with what they share."""
