#!/usr/bin/env python3
"""complete.py bash|zsh SCRIPT LINE: what an interactive shell makes of LINE and the tab key.

Prints the line as it then stands, and below it what the shell showed meanwhile. The shell runs on a
pseudo terminal with SCRIPT, the completion, and nothing else of this machine's configuration."""
import fcntl
import os
import pty
import select
import shutil
import struct
import sys
import tempfile
import termios
import time

DEADLINE = 60  # only a shell that hangs takes as long

SETUP = {
    "bash": r"""PS1='ready> '
bind 'set show-all-if-ambiguous on'
bind 'set page-completions off'
bind 'set bell-style none'
bind 'set enable-bracketed-paste off'
source $TOOLS/_kvpath
dump() { printf '%s' "$READLINE_LINE" >$TOOLS/line; echo dumped; }
bind -x '"\C-x\C-g": dump'
""",
    "zsh": r"""PS1='ready> '
fpath=($TOOLS $fpath)
autoload -U compinit
compinit -u -D
LISTMAX=0
dump() { print -rn -- "$BUFFER" >$TOOLS/line; print dumped }
zle -N dump
bindkey '^X^G' dump
""",
}
START = {
    "bash": ["bash", "--noprofile", "--rcfile", "%s/.zshrc", "-i"],
    "zsh": ["zsh", "-d", "-i"],
}


class Shell:
    def __init__(self, kind, script, tools, home):
        shutil.copy(script, os.path.join(tools, "_kvpath"))
        with open(os.path.join(tools, ".zshrc"), "w", encoding="utf-8") as f:
            f.write(SETUP[kind])
        self.line = os.path.join(tools, "line")
        self.seen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(home)
            # Room for every option of a command: a longer list is asked about first.
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 200, 100, 0, 0))
            os.environ.update(TOOLS=tools, ZDOTDIR=tools, TERM="dumb", HOME=home, LC_ALL="C.UTF-8")
            command = [word.replace("%s", tools) for word in START[kind]]
            os.execvp(command[0], command)
        self.wait(lambda: "ready> " in self.seen)

    def send(self, text):
        os.write(self.fd, text.encode())

    def wait(self, done):
        end = time.monotonic() + DEADLINE
        while not done():
            if time.monotonic() > end:
                sys.exit("complete.py: no answer within %d s; seen:\n%s" % (DEADLINE, self.seen))
            if select.select([self.fd], [], [], 0.1)[0]:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")


def main():
    kind, script, line = sys.argv[1:]
    tools = tempfile.mkdtemp(prefix="kvpath-complete.")
    home = tempfile.mkdtemp(prefix="kvpath-complete.")
    try:
        shell = Shell(kind, script, tools, home)
        shell.seen = ""
        shell.send(line + "\t\x18\x07")
        shell.wait(lambda: "dumped" in shell.seen)
        with open(shell.line, encoding="utf-8") as f:
            print(f.read())
        print(shell.seen.split("dumped")[0])
        os.kill(shell.pid, 9)
        os.waitpid(shell.pid, 0)
    finally:
        shutil.rmtree(tools)
        shutil.rmtree(home)


main()
