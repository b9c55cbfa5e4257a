import subprocess
import sys


def test_augmentation_imports_neither_batchgenerators_nor_torch_and_compiles_nothing():
    code = (
        "import sys, pkgutil, importlib, mixcl_auto.augmentation as top\n"
        "for module in pkgutil.walk_packages(top.__path__, 'mixcl_auto.augmentation.'):\n"
        "    importlib.import_module(module.name)\n"
        "from numba.core.dispatcher import Dispatcher\n"
        "kernels = [value for name, module in list(sys.modules.items()) if name.startswith('mixcl_auto')\n"
        "           for value in vars(module).values() if isinstance(value, Dispatcher)]\n"
        "assert kernels and not any(kernel.signatures for kernel in kernels)\n"
        "assert not {'torch', 'pandas', 'batchgenerators'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
