"""What the scripts measure and compare with; not installed."""
