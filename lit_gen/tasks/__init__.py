"""What models of a kind are shown, measured and used by: one file per kind. A model names its task."""
