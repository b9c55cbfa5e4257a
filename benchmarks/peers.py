"""Tools that this project is compared with: whether they are there, and how many threads they may use."""

from importlib.util import find_spec


def require(*modules: str) -> None:
    """End with one line unless every module can be imported.

    Raises:
        SystemExit: if one can't.
    """
    if missing := [module for module in modules if find_spec(module) is None]:
        raise SystemExit(
            f'not installed: {", ".join(missing)}; pip install -c constraints.txt -e ".[benchmarks]"'
        )


def use_threads(threads: int | None) -> None:
    """Bound the threads of torch and of SimpleITK; all cores if absent."""
    if threads is None:
        return
    import SimpleITK
    import torch

    torch.set_num_threads(threads)
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
