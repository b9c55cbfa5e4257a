"""``torchrun`` that ends with whoever started it.

``python -m mixcl_auto.workflows.tethered_torchrun PARENT`` and then torchrun's arguments.
The processes of a training have torchrun as their parent, so it is torchrun that has to watch; at SIGTERM it
passes the signal on, and the training saves its state.
"""

import sys

from mixcl_auto.engines.tether import end_with_parent


def main(arguments: list[str]) -> None:
    """Run torchrun.

    Args:
        arguments: the parent's process id, then torchrun's own.
    """
    from torch.distributed.run import main as torchrun

    parent, *others = arguments
    end_with_parent(int(parent))
    torchrun(others)


if __name__ == "__main__":
    main(sys.argv[1:])
