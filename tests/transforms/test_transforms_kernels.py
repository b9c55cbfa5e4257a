import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mixcl_auto
from mixcl_auto.transforms.kernels.layout import reverse_axes


@pytest.mark.parametrize("shape", [(1, 1, 1), (33, 5, 70), (64, 32, 31)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_reversing_axes_copies_the_transposed_volume(shape, dtype):
    volume = np.random.default_rng(1).integers(0, 255, shape).astype(dtype)
    turned = reverse_axes(volume)
    assert turned.flags.c_contiguous
    np.testing.assert_array_equal(turned, volume.T)


def test_nothing_compiles_at_import():
    code = (
        "import sys, pkgutil, importlib, mixcl_auto.transforms as top\n"
        "for module in pkgutil.walk_packages(top.__path__, 'mixcl_auto.transforms.'):\n"
        "    importlib.import_module(module.name)\n"
        "from numba.core.dispatcher import Dispatcher\n"
        "kernels = [value for name, module in list(sys.modules.items()) if name.startswith('mixcl_auto')\n"
        "           for value in vars(module).values() if isinstance(value, Dispatcher)]\n"
        "assert len(kernels) >= 9, kernels\n"
        "assert not any(kernel.signatures for kernel in kernels)\n"
        "assert 'torch' not in sys.modules and 'pandas' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_compiled_kernels_are_cached_in_the_users_folder_where_the_package_is_read_only(tmp_path):
    site = tmp_path / "site"
    shutil.copytree(
        Path(mixcl_auto.__file__).parent, site / "mixcl_auto", ignore=shutil.ignore_patterns("__pycache__")
    )
    # Root may write into a read-only folder; where a file takes the folder's place, nobody can.
    (site / "mixcl_auto" / "transforms" / "kernels" / "__pycache__").touch()
    code = (
        "import sys; sys.dont_write_bytecode = True\n"
        "import mixcl_auto, numpy as np\n"
        f"assert mixcl_auto.__file__.startswith({str(site)!r})\n"
        "from mixcl_auto.transforms.kernels.layout import reverse_axes\n"
        "reverse_axes(np.zeros((2, 3, 4), np.uint8))\n"
        "print(sum(reverse_axes.stats.cache_hits.values()))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(site)}
    command = [sys.executable, "-c", code]
    hits = [
        subprocess.run(
            command, cwd=tmp_path, env=environment, check=True, timeout=120, capture_output=True, text=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert hits == ["0", "1"]
    assert list((tmp_path / "cache").rglob("*.nbi"))
