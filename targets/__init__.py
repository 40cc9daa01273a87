"""Boards, one YAML file each, and the tuning records that ship; ``target.py`` reads them."""
