"""The command `new`: a small project with a model to change, its config, a test and a README."""

import json
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from string import Template
from textwrap import indent
from typing import Any

import yaml

import lit_gen.data
import lit_gen.models
from lit_gen.command_line import excerpts
from lit_gen.command_line.check import base_config
from lit_gen.command_line.config_files import SHIPPED
from lit_gen.command_line.parser import CommandParser
from lit_gen.command_line.paths import path_of
from lit_gen.command_line.sources import PACKAGE, known, no_such, settings_of
from lit_gen.data.contract import check_pair, fields_read
from lit_gen.errors import UserError
from lit_gen.files.atomic import complete_folder, write_text

FILES = {
    "main.py": "main.py.txt",
    "$stem.py": "model.py.txt",
    "test_$stem.py": "test.py.txt",
    "$stem.yaml": "config.yaml.txt",
    "README.md": "README.md.txt",
    "requirements.txt": "requirements.txt",
    "pytest.ini": "pytest.ini.txt",
    ".gitignore": "gitignore.txt",
}
"""The files of a project, each with its template."""
ON_OTHER_DATA: dict[str, dict[str, Any]] = {
    "VAE": {"likelihood": "gaussian", "binarize": False},
    "AAE": {"conditional": False},
}
"""What is set of a model where the data are not its recipe's digits: pixels are no probabilities, labels no petals."""
COLUMNS = {
    "image_b": ("file_name_b", "{39 - number}.png"),
    "caption": ("caption", "image number {number}"),
    "attributes": ("red,large", "{number % 2},{number // 2 % 2}"),
    "label": ("label", "{number % 2}"),
}
"""For a field of a batch the columns of a table that lead to it, and their values in a row, as the test writes them."""


def new(words: Sequence[str]) -> None:
    """Make a folder with a small project: all of it or nothing.

    Raises:
        UserError: the folder is not empty, there is no such model or data module, or they are not for each other.
    """
    hint = "`new FOLDER --model=<name> --data=<name>` makes a project."
    parser = CommandParser("new", hint, allow_abbrev=False)
    parser.add_argument("folder", type=path_of)
    parser.add_argument("--model", default="")
    parser.add_argument("--data", default="")
    given = parser.parse_args(words[1:])
    for part in ("model", "data"):
        name = getattr(given, part)
        if not name:
            raise UserError(f"new needs --{part}=<name>, one of {', '.join(known(part))}.")
        if name not in known(part):
            raise no_such(part, name)
    model, data = getattr(lit_gen.models, given.model), getattr(lit_gen.data, given.data)
    check_pair(model, data)
    folder = given.folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "is not empty" if folder.is_dir() else "is a file"
        raise UserError(f"{folder} {what}. Name a folder that is empty, or need not be there yet.")
    files = project(model, data)
    write(folder, files)
    (config,) = (name for name in files if name.endswith(".yaml"))
    print(f"a project is in {folder}: {Path(config).stem}.py is the model to change. Next, in that folder:")
    print(f"  pytest\n  python main.py fit --config {config}")


def write(folder: Path, files: dict[str, str]) -> None:
    """Write texts by the names of their files into a folder that is new or empty: all or none."""
    if not folder.exists():
        with complete_folder(folder) as partial:
            for name, text in files.items():
                (partial / name).write_text(text, encoding="utf-8")
        return
    try:  # the shell may be in this folder: none can take its place
        for name, text in files.items():
            write_text(folder / name, text)
    except BaseException:
        for name in files:
            (folder / name).unlink(missing_ok=True)
        raise


def project(model: type, data: type) -> dict[str, str]:
    """Return the texts of a project by the names of their files; the model and the data module are classes."""
    stem, mine = f"my_{model.__module__.rpartition('.')[2]}", f"My{model.__name__}"
    config = settings(model, data)
    networks = excerpts.networks(model)
    if "self.generator" in networks:
        networks += "\nself.start_average()  # the EMA of G, where ema_decay is above 0"
    installed = _distribution() is not None
    clone = str(PACKAGE.parent)
    use = words_of_use(model)
    given = config["data"]["init_args"]
    config["model"] = {"class_path": f"{stem}.{mine}"} | config["model"]
    path = f"\nimport sys\n\nsys.path.append({json.dumps(clone)})  # has lit_gen, until that is installed\n"
    values = {
        "model": model.__name__,
        "mine": mine,
        "stem": stem,
        "kind": data.__name__,
        "module": model.__module__,
        "imports": excerpts.imports(model),
        "networks": indent(networks, " " * 8 + "# ", lambda line: True),
        "losses": excerpts.losses(model),
        "config": yaml.safe_dump(config, sort_keys=False).rstrip(),
        "tiny_data": tiny_data(model, data.__name__, given),
        "about_data": about_data(model, data.__name__, given),
        "use": use,
        "use_in_test": ", ".join(f'"{word}"' for word in use.split()).replace('"--images=', 'f"--images={tmp_path}/'),
        "requirement": requirement(),
        "path": "" if installed else path,
        "pythonpath": "." if installed else f". {json.dumps(clone)}",
    }
    template = PACKAGE / "template"
    return {
        Template(name).substitute(values): Template((template / file).read_text(encoding="utf-8")).substitute(values)
        for name, file in FILES.items()
    }


def settings(model: type, data: type) -> dict[str, dict[str, Any]]:
    """Return the settings of model, data and training: the quick recipe's, as far as they are not for its own data."""
    found: dict[str, dict[str, Any]] = {"model": {}, "data": {}, "trainer": {}}
    kind, base = None, base_config(model.__name__)
    for path in [] if base is None else [base, SHIPPED / "quick" / base.name]:
        for part, content in yaml.safe_load(path.read_text(encoding="utf-8")).items():
            content = {"class_path": content} if isinstance(content, str) else content
            kind = content.get("class_path", kind) if part == "data" else kind
            found[part] |= content if part == "trainer" else content.get("init_args", {})
    own = settings_of("data", data.__name__) or set()
    if kind != data.__name__:
        of_recipe = {"image_size": 32} | found["data"]
        found["data"] = {name: of_recipe[name] for name in ("image_size", "batch_size") if name in of_recipe}
        found["data"] |= {"synthetic": True} if "synthetic" in own else {}
        found["model"] |= ON_OTHER_DATA.get(model.__name__, {})
    folders = {"folder_a": "images/a", "folder_b": "images/b"} if "folder_a" in own else {"root": "images"}
    init_args = found["data"] if "synthetic" in own else folders | found["data"]
    model_settings = {"init_args": found["model"]} if found["model"] else {}
    return {
        "model": model_settings,
        "data": {"class_path": data.__name__, "init_args": init_args},
        "trainer": found["trainer"],
    }


def tiny_data(model: type, data: str, given: dict[str, Any]) -> str:
    """Return the lines of the test that make tiny data in `folder`, and return the words for them."""
    words = ['"--data.batch_size=4"']
    lines = []
    if given.get("synthetic"):
        words += ['f"--data.root={folder}"', '"--data.synthetic_count=100"']
        own = settings_of("data", data) or set()
        words += ['"--data.val_size=20"'] if "val_size" in own else []
        words += ['"--data.labelled=20"'] if "labelled" in given else []
    else:
        words += ['"--data.val_fraction=0.3"']
        lines += ["for number in range(40):"]
        image = 'Image.new("RGB", (40, 36), (6 * number, 100, 50))'
        if data == "UnpairedFolders":
            lines += [
                '    for domain in ("a", "b"):',
                "        (folder / domain).mkdir(exist_ok=True)",
                f'        {image}.save(folder / domain / f"{{number}}.png")',
            ]
            words += ['f"--data.folder_a={folder}/a"', 'f"--data.folder_b={folder}/b"']
        else:
            lines += [f'    {image}.save(folder / f"{{number}}.png")']
            words += ['f"--data.root={folder}"']
        if data == "ImageTable":
            heads, values = columns(model)
            lines += [
                f'rows = [f"{{number}}.png,{values}" for number in range(40)]',
                f'(folder / "metadata.csv").write_text("\\n".join(["file_name,{heads}", *rows]), encoding="utf-8")',
            ]
    return "\n".join(f"    {line}" for line in [*lines, "return [", *(f"    {word}," for word in words), "]"])


def columns(model: type) -> tuple[str, str]:
    """Return the heads of the columns of a table that trains a model, and their values in a row."""
    fields = fields_read(model)
    return next((column for field, column in COLUMNS.items() if field in fields), COLUMNS["label"])


def about_data(model: type, data: str, given: dict[str, Any]) -> str:
    """Return what the README says of the data."""
    if given.get("synthetic"):
        return (
            "The images are rendered. Without `synthetic` in the config they are the real ones, which are downloaded."
        )
    place = "your images into `images`"
    if data == "UnpairedFolders":
        place = "the images of the two domains into `images/a` and `images/b`"
    elif data == "ImageTable":
        place += f", with a table `metadata.csv`: its columns are `file_name,{columns(model)[0]}` for example"
    return f"Put {place}. `check`, in place of `fit`, says what is there, and what cannot be read."


def words_of_use(model: Any) -> str:
    """Return options of `predict` for a model."""
    options = model.task.all_options()
    if "prompts" in options:
        return "--prompts=test --count=2"
    return "--count=4" if model.task.predicts_from != "data" else "--images=photo.png"


def _distribution() -> Any:
    """Return the installed package; None where this is a clone that is not installed."""
    try:
        found = distribution(PACKAGE.name)
    except PackageNotFoundError:
        return None
    # A build leaves a record of the package in the clone, which is no sign of an installed one.
    of_clone = (PACKAGE.parent / "setup.py").is_file() and Path(str(found.locate_file(""))).resolve() == PACKAGE.parent
    return None if of_clone else found


def requirement() -> str:
    """Return the line by which pip installs this package from where it is from."""
    installed = _distribution()
    if installed is None:
        return f"{PACKAGE.name} @ {PACKAGE.parent.as_uri()}"
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    if not origin:
        return f"{PACKAGE.name}=={installed.version}"
    version = origin.get("vcs_info")
    url = origin["url"] if version is None else f"{version['vcs']}+{origin['url']}@{version['commit_id']}"
    return f"{PACKAGE.name} @ {url}"
