"""Run folders: what they are called, who works in them, what is written there about a run, what differs between runs.

This package imports no model, no data and no callback; it knows what they write.
"""
