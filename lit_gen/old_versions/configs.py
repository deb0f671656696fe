"""Config files of older versions, brought to the present form: the one place that knows keys of then.

A key that is renamed or goes gets a rule in `translate`, and one line says what was made of it.
"""

from typing import Any

from lit_gen.runs.settings import NOT_OF_FIT, has_header

AUTOENCODERS = ("AAE", "AutoEncoder", "VAE")
OLD_NETWORK_SETTINGS = ("network", "hidden_sizes", "activation", "channels")
NETWORKS = {
    "mlp": ("MLPEncoder", ("hidden_sizes", "activation")),
    "conv": ("ConvEncoder", ("channels",)),
    "residual": ("ResidualEncoder", ("channels", "hidden_sizes")),
}
"""What `network` was: the encoder of now, and which of the settings it had."""


def translate(settings: dict[str, Any], text: str) -> list[str]:
    """Change the settings of one file, in place, into those that the present version knows.

    The first line of the file's text tells a run's `config.yaml` from a file of the user's. What was changed is
    returned in lines for the user that go on from the file's name.
    """
    said = translate_networks(settings.get("model", settings))
    of_training = has_header(text) and settings.keys().isdisjoint(NOT_OF_FIT)
    # A training's config.yaml once held what that run went on from: another training with it is to begin a new run.
    if of_training and (checkpoint := settings.pop("ckpt_path", None)):
        said.append(
            f"is of a run that went on from {checkpoint}: that is left out. --ckpt_path=<checkpoint> goes on with a "
            "run, or uses it."
        )
    return said


def translate_networks(model: Any) -> list[str]:
    """Change `network`, `hidden_sizes`, `activation` and `channels` of an autoencoder into its `encoder`, in place.

    `model` is its settings, or class and `init_args`. What was changed is returned in lines for the user.
    """
    if not isinstance(model, dict):
        return []
    settings = model["init_args"] if isinstance(model.get("init_args"), dict) else model
    kind = str(model.get("class_path") or model.get("_class_path") or "").rpartition(".")[2]
    is_one = kind in AUTOENCODERS or (not kind and {"network", "hidden_sizes", "activation"} & settings.keys())
    old = {name: settings.pop(name) for name in OLD_NETWORK_SETTINGS if name in settings} if is_one else {}
    if not old:
        return []
    network = old.pop("network", None)
    kept = NETWORKS[network][1] if network else tuple(old)
    settings["encoder"] = {"init_args": {name: old[name] for name in kept if name in old}}
    if network:
        settings["encoder"]["class_path"] = f"lit_gen.layers.coders.{NETWORKS[network][0]}"
    return [f"names a network as older versions did: --model.encoder takes the place of {', '.join(old) or 'network'}."]
