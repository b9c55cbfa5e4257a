import inspect
import subprocess
import sys

import pytest

import mixcl_auto


@pytest.mark.parametrize("name", mixcl_auto.__all__)
def test_every_public_function_is_documented_and_typed(name: str) -> None:
    function = getattr(mixcl_auto, name)
    assert inspect.isfunction(function)
    assert inspect.getdoc(function)
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(item.annotation is not inspect.Parameter.empty for item in signature.parameters.values())


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, mixcl_auto; print([name for name in sys.modules if name.startswith('mixcl_auto.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_dir_shows_what_is_not_loaded_yet() -> None:
    assert set(mixcl_auto.__all__) <= set(dir(mixcl_auto))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mixcl_auto.nothing
