"""What torch, CUDA and oneDNN say when memory is lacking. Imports none of them."""

_SIGNS = ("alloc", "not enough memory", "out of memory", "could not create a", "cannot create a")
"""Parts of their messages, in lower case; the last two are oneDNN's."""


def is_out_of_memory(problem: BaseException) -> bool:
    """Whether an error of torch or Python says that memory was lacking."""
    return isinstance(problem, MemoryError) or any(sign in str(problem).lower() for sign in _SIGNS)
