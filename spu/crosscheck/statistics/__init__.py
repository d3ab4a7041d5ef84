"""Null laws of the tests that a check makes: tails, whiteness, sampled noise."""
