#!/usr/bin/env python3
"""hearth in a real terminal: the chat with line editing, commands, several lines, Ctrl-C, save and load; being stopped;
the progress of a download."""

import hashlib
import http.server
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time


class Terminal:
    """A program on a pseudo-terminal."""

    def __init__(self, command, home):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(XDG_STATE_HOME=home, HEARTH_MODELS=os.path.join(home, "models"), TERM="xterm")
            os.execvp(command[0], command)
        self.seen = ""

    def expect(self, pattern, seconds=60):
        """Waits for a pattern, and forgets all up to its end."""
        end = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self.seen)
            if match:
                self.seen = self.seen[match.end():]
                return match.group(0)
            left = end - time.monotonic()
            if left < 0 or not select.select([self.fd], [], [], left)[0]:
                sys.exit(f"no {pattern!r} within {seconds} s; seen: {self.seen[-500:]!r}")
            try:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")
            except OSError:
                sys.exit(f"the program ended before {pattern!r}; seen: {self.seen[-500:]!r}")

    def line(self, text):
        """Waits for the prompt and types a line."""
        self.expect(r"(>>>|\.\.\.) ")
        time.sleep(0.1)
        os.write(self.fd, text.encode() + b"\r")

    def finish(self):
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def full_disk(hearth, home):
    """Saving over a conversation on a disk without room leaves the old one; True where such a disk could be made."""
    disk = os.path.join(home, "disk")
    os.mkdir(disk)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk], capture_output=True).returncode != 0:
        print("skipped: no small disk can be mounted here")
        return False
    try:
        saved = os.path.join(disk, "chat.json")
        with open(saved, "w") as file:
            file.write("old")
        with open(os.path.join(disk, "filler"), "w") as file:
            file.write("x" * 8192)
        chat = Terminal([hearth, "run", "-n", "2"], home)
        large = os.path.join(home, "large.json")
        with open(large, "w") as file:
            json.dump([{"role": "user", "content": "word " * 4000}], file)
        chat.line(f"/load {large}")
        chat.expect("1 messages")
        chat.line(f"/save {saved}")
        chat.expect("was not saved.*No space left")
        chat.line("/bye")
        assert chat.finish() == 0
        assert open(saved).read() == "old", "the old file is whole"
        assert sorted(os.listdir(disk)) == ["chat.json", "filler"], "nothing half-written is left"
    finally:
        subprocess.run(["umount", disk], check=True)
    return True


def stopped(hearth, home):
    """A chat that `hearth stop` ends leaves the terminal as it was."""
    environment = dict(os.environ, HEARTH_MODELS=os.path.join(home, "models"))
    chat = Terminal([hearth, "run"], home)
    chat.expect(">>> ")
    time.sleep(0.1)
    listed = json.loads(subprocess.check_output([hearth, "ps", "--json"], env=environment))
    assert listed["models"][0]["process"] == chat.pid, listed
    subprocess.run([hearth, "stop", "bard"], env=environment, check=True)
    assert chat.finish() == 128 + signal.SIGTERM
    modes = termios.tcgetattr(chat.fd)[3]
    assert modes & termios.ECHO and modes & termios.ICANON, "the terminal is left in the line editor's mode"
    assert not json.loads(subprocess.check_output([hearth, "ps", "--json"], env=environment))["models"]


class Registry(http.server.BaseHTTPRequestHandler):
    """A registry of one model, on a slow line."""

    protocol_version = "HTTP/1.1"
    weights = os.urandom(1 << 20)
    config = b"{}"

    def log_message(self, *_):
        pass

    def do_GET(self):
        def layer(kind, content):
            return {"mediaType": kind, "digest": "sha256:" + hashlib.sha256(content).hexdigest(), "size": len(content)}

        contents = {hashlib.sha256(content).hexdigest(): content for content in (self.weights, self.config)}
        manifest = json.dumps({
            "schemaVersion": 2,
            "config": layer("application/vnd.docker.container.image.v1+json", self.config),
            "layers": [layer("application/vnd.ollama.image.model", self.weights)],
        }).encode()
        content = contents.get(self.path.rsplit(":", 1)[-1], manifest)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        for start in range(0, len(content), 1 << 15):
            time.sleep(0.05)
            self.wfile.write(content[start:start + (1 << 15)])


def progress(hearth, home):
    """A download shows how far it is, how fast, and how long it takes."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    name = f"127.0.0.1:{server.server_port}/team/model:v1"
    pull = Terminal([hearth, "pull", name, "--insecure"], home)
    pull.expect("pulling manifest")
    pull.expect(r"pulling [0-9a-f]{12}: +[1-9][0-9]?% ▕█.*▏ +[0-9]+ KB/1.0 MB +[0-9.]+ [KM]B/s +[0-9]+s")
    pull.expect(r"100%")
    pull.expect("success")
    assert pull.finish() == 0
    server.shutdown()


def main():
    hearth = sys.argv[1]
    with tempfile.TemporaryDirectory() as home:
        saved = os.path.join(home, "chat.json")
        chat = Terminal([hearth, "run", "--seed", "1", "-n", "20"], home)
        chat.expect("knows nothing")
        chat.line("/help")
        chat.expect("/bye")
        chat.line('"""first')
        chat.line('second"""')
        chat.expect(r"\n.*\n")
        chat.line(f"/save {saved}")
        chat.line("/save /no/such/folder/file")
        chat.expect("was not saved")
        chat.line("/set top_k 3")
        chat.line("/set nonsense 3")
        chat.expect("there is no setting 'nonsense'")
        chat.line("/clear")
        chat.line(f"/load {saved}")
        chat.expect("2 messages")
        chat.line("/set max-tokens 100000")
        chat.line("/set logit_bias [[3, -1e9]]")
        chat.line("Speak for ever")
        chat.expect("[a-z]{3}")
        time.sleep(0.2)
        os.kill(chat.pid, signal.SIGINT)
        chat.line("/show")
        chat.expect("0 dropped")
        chat.line("/bye")
        assert chat.finish() == 0, "leaving is no failure"
        messages = json.load(open(saved))
        assert messages[0] == {"role": "user", "content": "first\nsecond"}, messages
        assert open(os.path.join(home, "hearth", "history")).read().count("/help") == 1
    with tempfile.TemporaryDirectory() as home:
        full = full_disk(hearth, home)
    with tempfile.TemporaryDirectory() as home:
        stopped(hearth, home)
    with tempfile.TemporaryDirectory() as home:
        progress(hearth, home)
    print(f"{3 + full} passed, 0 failed, {int(not full)} skipped")


if __name__ == "__main__":
    main()
