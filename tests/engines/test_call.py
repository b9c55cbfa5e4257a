import os
import pickle

from mixcl_auto.engines.call import Call


def count():
    os.environ["CALLS"] = str(int(os.environ.get("CALLS", "0")) + 1)


def test_a_call_passes_its_argument_also_when_it_was_pickled():
    call = pickle.loads(pickle.dumps(Call(abs, -4, "minus four")))
    assert (call.run(), call.name) == (4, "minus four")


def test_the_initializer_is_called_once_per_process(monkeypatch):
    monkeypatch.setenv("CALLS", "0")
    for _ in range(3):
        Call(abs, -4, "minus four", count).run()
    assert os.environ["CALLS"] == "1"
