import os
from multiprocessing.context import ForkContext

from mixcl_auto.training.drawing_note import DrawingNote


def test_note_of_a_process_outlives_it() -> None:
    context = ForkContext()
    note = DrawingNote(context)
    assert note.read() == (None, ())

    def draw() -> None:
        note.begin(11)
        note.add("Pool/über")
        note.begin(12)
        note.add("Pool/a")
        note.add("Pool/b")
        note.add("Pool/a")
        os._exit(1)

    process = context.Process(target=draw)
    process.start()
    process.join()
    assert note.read() == (12, ("Pool/a", "Pool/b"))


def test_names_that_do_not_fit_are_cut() -> None:
    note = DrawingNote(ForkContext())
    note.begin(3)
    note.add("ä" * 3000)
    number, (case,) = note.read()
    assert number == 3
    assert case.startswith("ä" * 1000)
