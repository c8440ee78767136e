#!/usr/bin/env python3
"""clang-tidy over the files of a build directory that a regular expression finds, but not twice over the same text.

    tidy.py <build directory> <regex> --cache <directory> [--jobs <n>] [--seconds <n>]
            [--module <library> --module-sources <directory>] [-- <clang-tidy's arguments>]
    tidy.py --self-test

What clang-tidy says of a file follows from the file's text with everything that it includes, the compile command,
.clang-tidy, clang-tidy itself with its arguments, and the module of checks that it loads, whose sources tell one from
another. A file is left out when the cache knows that all of these gave no finding before. Findings are never remembered.
Paths below the project's root count as relative: a clone hits, too. Of several commands that compile a file, the first counts.

With --seconds no file is begun later than that: the rest is counted, and is no failure. The files that were committed last come
first, and what has been looked at is remembered, so the next time goes on from there.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time

TIDY = "clang-tidy-19"
REMEMBERED_DAYS = 30


def command_of(entry):
    words = entry["arguments"] if "arguments" in entry else shlex.split(entry["command"])
    kept, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word == "-o":
            skip = True
        elif word != "-c":
            kept.append(word)
    return kept


def configuration(directory):
    """The texts of .clang-tidy from here up to the root."""
    return b"\0".join((d / ".clang-tidy").read_bytes()
                      for d in (directory, *directory.parents) if (d / ".clang-tidy").is_file())


class tidy:
    """clang-tidy as it is called."""

    def __init__(self, arguments=(), module=None, sources=None):
        self.command = [TIDY, *([f"-load={module}"] if module else []), "-quiet", *arguments]
        parts = [subprocess.run([TIDY, "--version"], capture_output=True, check=True).stdout]
        parts += [each.encode() for each in arguments]
        if module:
            parts += [file.name.encode() + b"\0" + file.read_bytes() for file in sorted(sources.glob("*.?pp"))]
        self.version = b"\0".join(parts)


def key_of(entry, root, version):
    """The name of what clang-tidy sees; None where the compiler does not get through."""
    command = command_of(entry)
    # With comments, in which NOLINT stands, and with macros.
    text = subprocess.run([*command, "-E", "-CC", "-dD", "-w"], cwd=entry["directory"], capture_output=True)
    if text.returncode:
        return None
    key = hashlib.sha256()
    for part in (version, configuration(pathlib.Path(entry["file"]).parent), " ".join(command).encode(), text.stdout):
        key.update(part.replace(root, b".") + b"\0")
    return key.hexdigest()


def check(entry, commands, cache, root, tool):
    """(was it remembered, what clang-tidy says or "")."""
    key = key_of(entry, root, tool.version)
    remembered = cache / key if key else None
    if remembered and remembered.exists():
        remembered.touch()
        return True, ""
    # In the root: HeaderFilterRegex is that of the current directory's .clang-tidy.
    run = subprocess.run([*tool.command, f"-p={commands}", entry["file"]], cwd=root, capture_output=True, text=True)
    # How many warnings system headers gave is no news.
    said = "".join(line for line in (run.stdout + run.stderr).splitlines(keepends=True)
                   if line.strip() and not re.search(r"warnings? generated\.$", line))
    if run.returncode == 0 and not said:
        if remembered:
            remembered.touch()
        return False, ""
    return False, said or f"{entry['file']}: clang-tidy failed with status {run.returncode}\n"


def newest_first(entries, root):
    """In the order of the commits that changed them."""
    log = subprocess.run(["git", "log", "-n", "300", "--format=", "--name-only"], cwd=root, capture_output=True, text=True)
    rank = {}
    for name in log.stdout.splitlines():
        rank.setdefault(os.path.join(os.fsdecode(root), name), len(rank))
    return sorted(entries, key=lambda e: rank.get(e["file"], len(rank)))


def lint(build, regex, jobs, cache, tool, out=sys.stdout, seconds=None):
    """How many files have findings, how many were checked, how many left out, as unchanged or for want of time."""
    until = time.monotonic() + seconds if seconds is not None else None
    cache.mkdir(parents=True, exist_ok=True)
    for old in cache.iterdir():
        if old.stat().st_mtime < time.time() - REMEMBERED_DAYS * 86400:
            old.unlink()
    entries = [e for e in json.loads((build / "compile_commands.json").read_text()) if re.search(regex, e["file"])]
    first = {}
    for entry in entries:
        first.setdefault(entry["file"], entry)
    entries = list(first.values())
    root = str(pathlib.Path(os.path.commonpath([str(build), *(e["file"] for e in entries)]))).encode()
    bad = left_out = late = 0

    def check_in_time(entry):
        return None if until and time.monotonic() >= until else check(entry, commands, cache, root, tool)

    with tempfile.TemporaryDirectory() as commands, concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        # clang-tidy looks at a file once for each command that it finds there.
        pathlib.Path(commands, "compile_commands.json").write_text(json.dumps(entries))
        for answer in pool.map(check_in_time, newest_first(entries, root) if until else entries):
            if answer is None:
                late += 1
                continue
            known, said = answer
            left_out += known
            bad += said != ""
            out.write(said)
    checked = len(entries) - left_out - late
    out.write(f"clang-tidy: {checked} files checked, {left_out} unchanged")
    out.write(f"; {late} not looked at, since the time was over\n" if late else "\n")
    return bad, checked, left_out + late


def self_test():
    with tempfile.TemporaryDirectory() as temporary, open(os.devnull, "w") as nowhere:
        base = pathlib.Path(temporary)
        cache = base / "cache"

        def tree(name, header, checks, *arguments):
            root = base / name
            (root / "build").mkdir(parents=True, exist_ok=True)
            (root / "a.cpp").write_text('#include "a.hpp"\nint* a() { return zero(); }\n'
                                        '#ifdef OTHER\nint* b() { return 0; }\n#endif\n')
            (root / "a.hpp").write_text(header)
            (root / ".clang-tidy").write_text(f"Checks: '-*,{checks}'\nWarningsAsErrors: '*'\nHeaderFilterRegex: '.*'\n")
            command = f"clang++-19 -std=c++23 -I{root} -o a.o -c {root}/a.cpp"
            (root / "build/compile_commands.json").write_text(
                json.dumps([{"directory": str(root / "build"), "command": each, "file": f"{root}/a.cpp"}
                            for each in (command, command + " -DOTHER")]))
            return lint(root / "build", "a.cpp$", 1, cache, tidy(arguments), nowhere)

        null, zero = "inline int* zero() { return nullptr; }\n", "inline int* zero() { return 0; }\n"
        waived = "inline int* zero() { return 0; }  // NOLINT\n"
        expected = [
            ("one", null, "modernize-use-nullptr", (0, 1, 0)),
            ("one", null, "modernize-use-nullptr", (0, 0, 1)),    # the same again
            ("two", null, "modernize-use-nullptr", (0, 0, 1)),    # in another clone
            ("one", zero, "modernize-use-nullptr", (1, 1, 0)),    # a finding in a header
            ("one", zero, "modernize-use-nullptr", (1, 1, 0)),    # is found again
            ("one", waived, "modernize-use-nullptr", (0, 1, 0)),  # a comment counts
            ("one", null, "modernize-use-auto", (0, 1, 0)),       # another configuration
            ("one", null, "modernize-use-nullptr", (0, 0, 1)),    # and back
            ("one", zero, "modernize-use-nullptr", (0, 1, 0), "-checks=-*,modernize-use-auto"),
        ]
        for number, (name, header, checks, answer, *arguments) in enumerate(expected):
            got = tree(name, header, checks, *arguments)
            assert got == answer, f"step {number}: {got} instead of {answer}"

        root = base / "one"
        assert lint(root / "build", "a.cpp$", 1, base / "empty", tidy(), nowhere, seconds=0) == (0, 0, 1)
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)
        for name in ("c.cpp", "a.cpp"):
            who = ["-c", "user.name=a", "-c", "user.email=a@b"]
            (root / name).touch()
            subprocess.run(["git", "add", name], cwd=root, check=True)
            subprocess.run(["git", *who, "commit", "-q", "-m", name], cwd=root, check=True)
        files = [{"file": f"{root}/{name}"} for name in ("b.cpp", "c.cpp", "a.cpp")]
        assert newest_first(files, str(root).encode()) == [files[2], files[1], files[0]]

        # A module counts by its sources.
        (base / "check.cpp").write_text("int one;\n")
        with_one = tidy((), base / "module.so", base).version
        assert with_one == tidy((), base / "another.so", base).version != tidy().version
        (base / "check.cpp").write_text("int two;\n")
        assert with_one != tidy((), base / "module.so", base).version


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return
    own, behind = sys.argv[1:], []
    if "--" in own:
        own, behind = own[:own.index("--")], own[own.index("--") + 1:]
    parser = argparse.ArgumentParser(epilog="What stands behind -- is given to clang-tidy.")
    parser.add_argument("build", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("regex")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, help="no file is begun later than that")
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    parser.add_argument("--module", type=lambda text: pathlib.Path(text).resolve(), help="a library of checks that clang-tidy loads")
    parser.add_argument("--module-sources", type=pathlib.Path, help="where its .cpp and .hpp files are")
    options = parser.parse_args(own)
    if (options.module is None) != (options.module_sources is None):
        parser.error("--module and --module-sources go together")
    tool = tidy(behind, options.module, options.module_sources)
    sys.exit(lint(options.build, options.regex, options.jobs, options.cache, tool, seconds=options.seconds)[0] != 0)


if __name__ == "__main__":
    main()
