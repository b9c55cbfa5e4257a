import pytest

from mixcl_auto.training.out_of_memory import is_out_of_memory


@pytest.mark.parametrize(
    "message",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.64 GiB",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "could not create a primitive",
        "std::bad_alloc",
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
        "not enough memory: you tried to allocate 9 bytes",
    ],
)
def test_messages_of_lacking_memory_are_known(message: str) -> None:
    assert is_out_of_memory(RuntimeError(message))


def test_other_messages_are_not() -> None:
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
