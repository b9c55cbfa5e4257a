"""Imports only go down the layers of the architecture; the leaves know neither files nor records."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "mixcl_auto"

LAYERS = (
    ("errors", "progress"),
    ("records",),
    ("engines", "distributed"),
    ("io", "networks", "losses", "transforms", "augmentation", "metrics", "phantoms"),
    ("drawing",),
    ("training",),
    (
        "converters",
        "validation",
        "planning",
        "preprocessing",
        "pretraining",
        "finetuning",
        "probing",
        "inference",
        "evaluation",
        "reporting",
        "exporting",
    ),
    ("workflows",),
    ("cli",),
    ("__main__",),
)
"""From the bottom to the top; packages of one layer never import one another, but for the bottom one."""

LEAVES = ("networks", "losses", "transforms", "augmentation", "metrics", "phantoms")
FORBIDDEN_IN_LEAVES = {"click", "rich", "SimpleITK", "pandas", "mixcl_auto.records", "mixcl_auto.io"}
ONLY_IN_CLI = {"click", "rich"}
ONLY_IN_IO = {"SimpleITK", "blosc2", "pydicom", "highdicom"}

MODULES = sorted(PACKAGE.rglob("*.py"))


def layer_of(part: str) -> int:
    (found,) = [level for level, parts in enumerate(LAYERS) if part in parts]
    return found


def part_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(tree: ast.AST, package: tuple[str, ...] = ()) -> set[str]:
    """Every imported module or name as a dotted path, those inside functions and TYPE_CHECKING included."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = [] if node.level == 0 else list(package[: len(package) - node.level + 1])
            base += [node.module] if node.module else []
            found |= {".".join([*base, alias.name]) for alias in node.names}
    return found


def module_imports(module: Path) -> set[str]:
    package = ("mixcl_auto", *module.relative_to(PACKAGE).parts[:-1])
    return imports_of(ast.parse(module.read_text()), package)


def broken_rules(part: str, imported: set[str]) -> list[str]:
    """What a module of that part may not import, with the reason."""
    broken = []
    for name in sorted(imported):
        pieces = name.split(".")
        if pieces[0] == "mixcl_auto" and len(pieces) > 1 and pieces[1] != part:
            if pieces[1] == "__version__":
                continue
            own, other = layer_of(part), layer_of(pieces[1])
            if other > own:
                broken.append(f"{name}: upward")
            elif other == own and own > 0:
                broken.append(f"{name}: sideways")
        if part in LEAVES and any(name == bad or name.startswith(f"{bad}.") for bad in FORBIDDEN_IN_LEAVES):
            broken.append(f"{name}: not in a leaf package")
        if part not in ("cli", "__main__") and pieces[0] in ONLY_IN_CLI:
            broken.append(f"{name}: only in cli")
        if part != "io" and pieces[0] in ONLY_IN_IO:
            broken.append(f"{name}: only in io")
    return broken


def test_every_package_has_a_layer() -> None:
    parts = {part_of(module) for module in MODULES} - {"__init__"}
    assert parts <= {part for layer in LAYERS for part in layer}


# The public interface, the package's own __init__, names workflows as strings.
LAYERED = [module for module in MODULES if part_of(module) != "__init__"]


@pytest.mark.parametrize("module", LAYERED, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_go_down(module: Path) -> None:
    assert broken_rules(part_of(module), module_imports(module)) == []


@pytest.mark.parametrize("part", [*LEAVES, "io", "training"])
def test_environment_is_not_read_below_the_command_line(part: str) -> None:
    reads = [
        str(module)
        for module in (PACKAGE / part).rglob("*.py")
        if "os.environ" in module.read_text() or "os.getenv" in module.read_text()
    ]
    assert reads == []


def test_a_subpackage_says_what_it_holds_and_imports_nothing() -> None:
    for init in PACKAGE.glob("*/__init__.py"):
        (docstring,) = ast.parse(init.read_text()).body
        assert isinstance(docstring, ast.Expr), init


@pytest.mark.parametrize(
    ("part", "source", "reason"),
    [
        ("io", "import mixcl_auto.training.loop", "upward"),
        ("records", "from mixcl_auto import io", "upward"),
        ("planning", "def f():\n    from mixcl_auto.validation.validate import x", "sideways"),
        ("losses", "if TYPE_CHECKING:\n    from mixcl_auto.networks import unetr", "sideways"),
        ("losses", "from mixcl_auto.records.plan import Plan", "not in a leaf"),
        ("metrics", "import SimpleITK as sitk", "not in a leaf"),
        ("training", "import rich.progress", "only in cli"),
        ("evaluation", "import SimpleITK", "only in io"),
    ],
)
def test_the_rules_catch_a_breach(part: str, source: str, reason: str) -> None:
    assert any(reason in rule for rule in broken_rules(part, imports_of(ast.parse(source))))


def test_relative_imports_are_resolved() -> None:
    tree = ast.parse("from ..training import loop")
    assert imports_of(tree, ("mixcl_auto", "losses")) == {"mixcl_auto.training.loop"}
