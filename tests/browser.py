"""A browser without a window, and what a person would see in it."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import time

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
_SECONDS_BETWEEN_LOOKS = 0.2
_MOST_LOOKS = 600
# Pages made of components keep theirs in shadow roots.
_READ = """
(function read(node) {
  if (node.nodeType === Node.TEXT_NODE) return node.data;
  if (["SCRIPT", "STYLE"].includes(node.nodeName)) return "";
  const image = node.nodeName === "IMG" && node.naturalWidth
    ? `image of ${node.naturalWidth} x ${node.naturalHeight}` : "";
  const parts = [...(node.shadowRoot?.childNodes ?? []), ...node.childNodes];
  return [image, ...parts.map(read)].join(" ");
})(document.body)
"""


def look(address, profile, picture, wanted):
    """Opens a page, waits until it shows some words, and takes a picture.

    Args:
        address: Of the page.
        profile: A folder for the browser.
        picture: Where the picture of the page goes, a PNG file.
        wanted: The words.

    Returns:
        What the page showed in the end, images by their sizes.
    """
    reading, asking = os.pipe()
    answering, writing = os.pipe()
    process = subprocess.Popen(
        [
            # The browser asks for these two numbers.
            "bash", "-c", f'exec "$@" 3<&{reading} 4>&{writing}', "-",
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu",
            "--remote-debugging-pipe", f"--user-data-dir={profile}",
            "--window-size=1500,1300",
        ],
        pass_fds=(reading, writing),
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(reading)
    os.close(writing)
    try:
        with open(asking, "wb") as asked, open(answering, "rb") as answers:
            page = _Page(asked, answers, address)
            for _ in range(_MOST_LOOKS):
                shown = page.text()
                if all(words in shown for words in wanted):
                    break
                time.sleep(_SECONDS_BETWEEN_LOOKS)
            picture.write_bytes(page.picture())
    finally:
        process.kill()
        process.wait()
    return shown


class _Page:
    """Speaks the protocol of the browser's developer tools."""

    def __init__(self, asked, answers, address):
        self._asked, self._answers = asked, _messages(answers)
        self._numbers, self._session = itertools.count(), {}
        target = self._call("Target.createTarget", url=address)
        session = self._call("Target.attachToTarget", flatten=True, **target)
        self._session = session

    def text(self):
        found = self._call("Runtime.evaluate", expression=_READ)
        # Nothing while the page is not there.
        return found["result"].get("value", "")

    def picture(self):
        return base64.b64decode(self._call("Page.captureScreenshot")["data"])

    def _call(self, method, **parameters):
        message = {
            "id": next(self._numbers),
            "method": method,
            "params": parameters,
            **self._session,
        }
        self._asked.write(json.dumps(message).encode() + b"\0")
        self._asked.flush()
        # Events come in between.
        return next(
            answer["result"]
            for answer in self._answers
            if answer.get("id") == message["id"]
        )


def _messages(stream):
    rest = b""
    while part := stream.read1():
        *whole, rest = (rest + part).split(b"\0")
        yield from map(json.loads, whole)
