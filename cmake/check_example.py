#!/usr/bin/env python3
"""Runs an example and compares its standard output with <stem>.expected; see examples/CMakeLists.txt."""

import pathlib
import re
import shlex
import subprocess
import sys


def mismatch(expected, actual):
    """None if the lines agree, else a sentence. "..." stands for any number of lines."""
    row = 0
    for number, want in enumerate(expected):
        if want == "...":
            rest = expected[number + 1:]
            if any(mismatch(rest, actual[at:]) is None for at in range(row, len(actual) + 1)):
                return None
            return f"nothing after line {row} matches what follows \"...\""
        if row == len(actual):
            return f"the output ends before: {want}"
        matches = re.fullmatch(want[2:], actual[row]) if want.startswith("~ ") else want == actual[row]
        if not matches:
            return f"line {row + 1}: expected: {want}\nline {row + 1}: actual:   {actual[row]}"
        row += 1
    return None if row == len(actual) else f"line {row + 1} is not expected: {actual[row]}"


def main(program, stem):
    expected = pathlib.Path(stem + ".expected")
    arguments = pathlib.Path(stem + ".args")
    command = [program] + (shlex.split(arguments.read_text()) if arguments.exists() else [])
    run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    problem = None
    if run.returncode != 0:
        problem = f"exit status {run.returncode}"
    elif expected.exists():
        problem = mismatch(expected.read_text().splitlines(), run.stdout.splitlines())
    if problem:
        print(f"{shlex.join(command)}: {problem}\n--- standard output:\n{run.stdout}")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
