#!/usr/bin/env python3
"""Looks whether the commands in the handbooks exist: every `synod …` and `kubectl …` in their blocks, with every option.

    words.py --synod PATH

Options are compared with what the programs' own help says, so a page that was not changed with its command is noticed. What the
commands do is tested elsewhere.
"""

import argparse
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = ["README.md", "deploy/README.md", "deploy/compose/compose.yaml", "docs/operations.md", "docs/quorums.md", "docs/compaction.md"]
# What kubectl takes everywhere.
EVERYWHERE = {"--context", "-n", "--namespace", "--help", "-o", "-f", "-w", "-k"}


def commands(text):
    """The commands of a page's blocks, lines that go on joined, comments and what is printed left out."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE) or [text]
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            # A prompt, a comment sign, or the parts of a shell's line.
            line = re.sub(r"^\s*(#\s*)?(\$ )?", "", line).split(" # ")[0]
            for part in re.split(r"[|;&]+|\$\(|\bdo\b", line):
                words = part.replace(")", " ").split()
                if words and words[0] in ("synod", "kubectl"):
                    yield words


@cache
def said(program, *words):
    """What a program's help says, or nothing if there is no such command."""
    done = subprocess.run([program, *words, "--help"], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def faults(synod, words):
    """What is wrong with a command."""
    program = synod if words[0] == "synod" else "kubectl"
    plain, options, known = [], [], words[1:]
    for word in known:
        if word == "--":
            break
        (options if word.startswith("-") else plain).append(word.split("=")[0])
    # Options of kubectl may stand before its verb, each with a value.
    if program == "kubectl":
        plain = [word for word, before in zip(known, [""] + known) if not word.startswith("-") and before not in EVERYWHERE]
        plain = plain[: plain.index("--")] if "--" in plain else plain
    depth = 3 if plain[:2] == ["create", "secret"] else 2 if program == synod or plain[:1] in (["create"], ["rollout"]) else 1
    help_text = None
    for length in range(min(depth, len(plain)), 0, -1):
        help_text = said(program, *plain[:length])
        # A command's argument is no command; clap and kubectl name the command they explain.
        if help_text is not None and re.search(rf"\b{re.escape(plain[length - 1])}\b", help_text):
            break
    if help_text is None:
        yield "there is no such command"
        return
    for option in options:
        if program == "kubectl" and option in EVERYWHERE:
            continue
        if not re.search(rf"(?<![\w-]){re.escape(option)}\b", help_text):
            yield f"has no option {option}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synod", required=True)
    arguments = parser.parse_args()
    wrong, count = [], 0
    for page in PAGES:
        for words in commands((ROOT / page).read_text()):
            count += 1
            wrong += [f"{page}: {shlex.join(words)}: {fault}" for fault in faults(arguments.synod, words)]
    # A command and an option that do not exist must be noticed.
    for broken in (["synod", "dance"], ["synod", "status", "--frobnicate"], ["kubectl", "-n", "synod", "rollout", "status", "--frobnicate"]):
        if not list(faults(arguments.synod, broken)):
            wrong.append(f"{shlex.join(broken)} is taken for a command")
    for fault in wrong:
        print(fault, file=sys.stderr)
    print(f"handbooks: {count} commands in {len(PAGES)} pages, {len(wrong)} faults")
    return 1 if wrong or not count else 0


if __name__ == "__main__":
    sys.exit(main())
