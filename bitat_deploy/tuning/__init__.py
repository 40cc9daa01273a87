"""The tuning stage: which schedule of an operator is fastest on a board."""
