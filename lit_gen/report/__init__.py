"""The report of a run, `report.html`: one file with everything in it, made from what lies in the run's folder.

This package knows no model, no data and no callback.
"""
