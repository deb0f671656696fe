from lit_gen.import_paths import import_path
from lit_gen.models import VAE


class Outer:
    class Inner:
        pass


def test_a_class_is_named_where_it_is_defined():
    assert import_path(VAE) == "lit_gen.models.vae.VAE"
    assert import_path(Outer.Inner) == "tests.test_import_paths.Outer.Inner"
