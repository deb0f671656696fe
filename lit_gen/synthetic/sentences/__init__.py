"""Captions: sentences about faces and digits, which follow from attributes and a seed."""
