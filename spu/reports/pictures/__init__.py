"""All that is drawn; legible without colour."""
