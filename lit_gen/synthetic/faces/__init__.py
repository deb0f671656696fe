"""Rendered faces in the format of CelebA: `scene` says who is there, `render` paints, `write` makes the files."""
