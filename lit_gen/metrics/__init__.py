"""What tells how good pictures are, independent of the model that made them."""
