"""``preprocess.json`` in each folder of the cache: the section of the plan whose hash names the folder.

It changes nothing; it lets a plan that finds no cache of its own be told in which fields it differs.
"""

from pathlib import Path

from mixcl_auto.errors import MixCLError
from mixcl_auto.io.files import read_text, write_text
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.plan import PreprocessPlan
from mixcl_auto.records.record import content_hash

_NAME = "preprocess.json"


def write_recipe(workspace: Workspace, dataset: str, recipe: PreprocessPlan) -> None:
    """Say in a dataset's cache by which recipe its cases are made."""
    path = _path(workspace.cache(dataset, content_hash(recipe)))
    if _read(path) != recipe:
        write_text(path, recipe.to_json())


def other_recipes(workspace: Workspace, dataset: str, recipe: PreprocessPlan) -> dict[Path, PreprocessPlan]:
    """The other caches of a dataset, as far as they say how they were made."""
    folders = sorted(workspace.cache(dataset, content_hash(recipe)).parent.glob("*/"))
    found = {folder: _read(_path(folder)) for folder in folders}
    return {folder: other for folder, other in found.items() if other is not None and other != recipe}


def _path(folder: Path) -> Path:
    return folder / _NAME


def _read(path: Path) -> PreprocessPlan | None:
    """A recipe; none where there is none, or none of this version."""
    if not path.is_file():
        return None
    try:
        text = read_text(path, what="recipe of the cache", remedy="remove it")
        return PreprocessPlan.from_json(text, source=str(path))
    except MixCLError:
        return None
