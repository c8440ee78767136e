#!/usr/bin/env python3
"""What the module's checks cost: clang-tidy with all of them against clang-tidy with none, over files of a build directory.

    time.py <clang-tidy> <module> <build directory> [--files <n>] [--rounds <n>] [--match <regex>]

Counts the processor's time, which others on the machine disturb little, in turns, and compares the medians of each file.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess


def spent(command):
    """Seconds of user time."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return os.wait4(process.pid, 0)[2].ru_utime


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tidy")
    parser.add_argument("module")
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--match", default=r"/(src|apps|examples)/", help="which files of the build directory")
    options = parser.parse_args()

    entries = json.loads((options.build / "compile_commands.json").read_text())
    files = sorted({entry["file"] for entry in entries if re.search(options.match, entry["file"]) and "/build/" not in entry["file"]})
    files = files[::max(1, len(files) // options.files)][:options.files]
    # With no check at all clang-tidy does not even read the file; of Objective-C's, none looks at C++.
    ways = {"none": ["-checks=-*,objc-avoid-nserror-init"],
            "all": [f"-load={options.module}", "-checks=-*,curfew-*"]}
    sums = dict.fromkeys(ways, 0.0)
    for file in files:
        times = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way, arguments in ways.items():
                times[way].append(spent([options.tidy, *arguments, "-quiet", f"-p={options.build}", file]))
        medians = {way: statistics.median(each) for way, each in times.items()}
        for way, median in medians.items():
            sums[way] += median
        print(f"{medians['none']:7.2f} s  {medians['all']:7.2f} s  {medians['all'] / medians['none'] - 1:+6.1%}  {file}", flush=True)
    print(f"{sums['none']:7.2f} s  {sums['all']:7.2f} s  {sums['all'] / sums['none'] - 1:+6.1%}  {len(files)} files")


if __name__ == "__main__":
    main()
