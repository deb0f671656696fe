"""Rendered horses and zebras in the format of horse2zebra: `scene`, then `render`, then `write`."""
