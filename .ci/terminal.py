#!/usr/bin/env python3
"""The chat in a real terminal: line editing, commands, several lines, Ctrl-C, save and load."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time


class Terminal:
    """A program on a pseudo-terminal."""

    def __init__(self, command, home):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(XDG_STATE_HOME=home, TERM="xterm")
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
    print(f"{1 + full} passed, 0 failed, {int(not full)} skipped")


if __name__ == "__main__":
    main()
