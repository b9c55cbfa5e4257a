"""``torchrun`` that ends with whoever started it.

``python -m mixcl_auto.workflows.tethered_torchrun PARENT`` and then torchrun's arguments.
The processes of a training have torchrun as their parent, so it is torchrun that has to watch; at SIGTERM it
passes the signal on, and the training saves its state. They in turn end when torchrun is gone.
"""

import sys

from mixcl_auto.engines.tether import end_with_parent
from mixcl_auto.errors import RESUME_CODE


def main(arguments: list[str]) -> None:
    """Run torchrun.

    Args:
        arguments: the parent's process id, then torchrun's own.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    parent, *others = arguments
    end_with_parent(int(parent))
    try:
        torchrun(others)
    except ChildFailedError as problem:
        # The process that failed has said why, which torchrun's own report would only bury.
        codes = {failure.exitcode for failure in problem.failures.values()}
        sys.exit(RESUME_CODE if codes == {RESUME_CODE} else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
