"""Classes by where they are defined, as configs and checkpoints name them."""


def import_path(kind: type) -> str:
    """Return the import path of a class, such as `lit_gen.models.vae.VAE`."""
    return f"{kind.__module__}.{kind.__qualname__}"
