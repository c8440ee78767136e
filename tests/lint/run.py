#!/usr/bin/env python3
"""Holds what a check finds in an annotated file against its annotations.

    run.py <clang-tidy> <module> <include> <file>

The file's name is the check's: scope_not_used.cpp is of curfew-scope-not-used. A line that holds nothing but

    // CHECK: <text>    says that the line above has one finding, whose message contains the text; others have none
    // FIX: <text>      says what a line is once the fix-its are applied, in the order of the annotations

What was fixed compiles, and nothing is found again in it.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

FINDING = re.compile(r"^(?P<file>[^:\n]+):(?P<line>\d+):\d+: (?P<kind>warning|error): (?P<text>.*)$")
CHECK = re.compile(r"^\s*//\s*CHECK:\s*(.*?)\s*$")
FIX = re.compile(r"^\s*//\s*FIX:\s*(.*?)\s*$")


def squeezed(text):
    return " ".join(text.split())


def findings(tidy, module, include, check, file, fix):
    """(line, text) of each finding; (0, text) of what did not work at all."""
    command = [tidy, f"-load={module}", f"-checks=-*,{check}", "-quiet", *(["-fix"] if fix else []), str(file), "--",
               "-std=c++23", f"-I{include}", f"-I{pathlib.Path(__file__).parent}", "-fno-color-diagnostics"]
    run = subprocess.run(command, capture_output=True, text=True)
    found = []
    for line in run.stdout.splitlines():
        match = FINDING.match(line)
        if not match:
            continue
        ours = f"[{check}" in match["text"] and match["kind"] == "warning"
        found.append((int(match["line"]) if ours else 0, line))
    if run.returncode != 0 and not found:
        found.append((0, run.stdout + run.stderr))
    return found


def problems(tidy, module, include, file):
    check = "curfew-" + file.stem.replace("_", "-")
    source = file.read_text().splitlines()
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / file.name
        copy.write_text("\n".join(source) + "\n")
        found = findings(tidy, module, include, check, copy, True)
        fixed = [squeezed(line.split("//")[0]) for line in copy.read_text().splitlines()]
        fixes = [squeezed(match[1]) for match in map(FIX.match, source) if match]
        left = findings(tidy, module, include, check, copy, False) if fixes else []

    expected, code = {}, 0
    for number, line in enumerate(source, 1):
        if match := CHECK.match(line):
            expected[code] = match[1]
        elif not FIX.match(line):
            code = number
    for number in sorted({0, *expected, *(at for at, _ in found)}):
        said = [text for at, text in found if at == number]
        if number not in expected:
            yield from (f"{file}:{number}: expected none: {text}" for text in said)
        elif len(said) != 1 or expected[number] not in said[0]:
            yield f"{file}:{number}: expected \"{expected[number]}\", got {said or 'nothing'}"

    at, found_again = 0, {number for number, _ in left}
    for fix in fixes:
        while at < len(fixed) and fixed[at] != fix:
            at += 1
        if at == len(fixed):
            yield f"{file}: no line is \"{fix}\" after the fix-its"
            return
        at += 1
        if at in found_again:
            yield f"{file}: \"{fix}\" is found again"
    yield from (f"{file}: after the fix-its: {text}" for number, text in left if number == 0)


def main():
    tidy, module, include, file = sys.argv[1:]
    told = list(problems(tidy, module, include, pathlib.Path(file)))
    print("\n".join(told))
    sys.exit(bool(told))


if __name__ == "__main__":
    main()
