"""What pyproject.toml cannot say: the package needs what requirements.txt lists, but for the tests' tools.

The recipes of `configs/` come with the package, as `lit_gen/configs`.
"""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").partition("# Tests")[0].splitlines()

setup(
    install_requires=[text for line in lines if (text := line.partition("#")[0].strip())],
    packages=[*find_packages(include=["lit_gen*"]), "lit_gen.configs"],
    package_dir={"lit_gen.configs": "configs"},
    package_data={
        "lit_gen": ["py.typed", "*/*.safetensors", "report/*.html", "template/*"],
        "lit_gen.configs": ["*.yaml", "quick/*.yaml"],
    },
)
