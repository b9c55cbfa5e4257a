"""A headless Chromium for tests of the page, spoken to through its DevTools pipe without any package."""

import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

CHROMIUM = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)

_PATIENCE_S = 60.0
_AS_3_AND_4 = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for number, end in enumerate(ends, start=3):
    os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Starts a program with two pipes where Chromium looks for them."""


class Browser:
    """One page at a time, with whatever it complains of."""

    def __init__(self, profile: Path, *, width: int = 1400, height: int = 1000) -> None:
        self.complaints: list[str] = []
        """Console errors, uncaught exceptions and refused or failed loads since the page was opened."""
        self.requests: list[str] = []
        """Addresses that the page asked for, data: apart."""
        self._numbers = itertools.count(1)
        self._unread = b""
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []
        self._size = (width, height)
        self._profile = profile

    def __enter__(self) -> Self:
        assert CHROMIUM is not None
        theirs_in, self._ours_out = os.pipe()
        self._ours_in, theirs_out = os.pipe()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-c", _AS_3_AND_4, str(theirs_in), str(theirs_out)),
                CHROMIUM,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--remote-debugging-pipe",
                f"--user-data-dir={self._profile}",
            ],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(*self._size)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours_out)
        os.close(self._ours_in)

    def open(self, page: Path) -> None:
        """Load a file and wait until it is complete."""
        self.complaints.clear()
        self.requests.clear()
        self._events.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        self._wait(lambda: any(event["method"] == "Page.loadEventFired" for event in self._events))

    def resize(self, width: int, height: int) -> None:
        """Set the window's size in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def run(self, expression: str) -> Any:
        """The value of an expression in the page; promises are awaited, exceptions are ours too."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until an expression in the page is true."""
        self._wait(lambda: bool(self.run(expression)))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to one DevTools command; events that come before it are kept."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session is not None and not method.startswith("Target."):
            message["sessionId"] = self._session
        os.write(self._ours_out, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != number:
            self._note(answer)
        assert "error" not in answer, (method, answer["error"])
        result: dict[str, Any] = answer["result"]
        return result

    def _wait(self, is_there: Any) -> None:
        end = time.monotonic() + _PATIENCE_S
        while not is_there():
            assert time.monotonic() < end, "the page did not get there"
            self.call("Runtime.evaluate", expression="0")
            time.sleep(0.02)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._ours_in], [], [], _PATIENCE_S)
            assert ready, "Chromium does not answer"
            part = os.read(self._ours_in, 2**20)
            assert part, "Chromium has ended"
            self._unread += part
        message, self._unread = self._unread.split(b"\0", 1)
        decoded: dict[str, Any] = json.loads(message)
        return decoded

    def _note(self, event: dict[str, Any]) -> None:
        self._events.append(event)
        method, values = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(values["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(values["args"]))
        elif method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            self.complaints.append(values["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            url = values["request"]["url"]
            self.requests += [] if url.startswith("data:") else [url]
        elif method == "Network.loadingFailed":
            self.complaints.append(f"failed: {values['errorText']}")
