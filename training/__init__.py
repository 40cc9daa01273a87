"""Training: from a YAML recipe to a checkpoint whose network is integer from end to end."""
