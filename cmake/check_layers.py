#!/usr/bin/env python3
"""Holds the #include lines of include/ and src/ against the curfew_module lines of CMakeLists.txt.

    check_layers.py <root>        prints every violation as file:line: message
    check_layers.py --self-test   proves on a planted tree that violations are seen

The rules:
  - a module includes itself and the modules that it depends on, directly or through others, and no module else;
  - a third party's header is included only where the module, or for LINK_PUBLIC a module below it, names that third
    party: with LINK_PRIVATE in src/<module> alone;
  - a private header, in src/<module>, is included by that module alone, and never by a public header.
"""

import pathlib
import re
import sys
import tempfile

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')
CALL = re.compile(r"^\s*(curfew_module|curfew_third_party)\s*\(([^)]*)\)", re.MULTILINE)

# System headers have slashes too; any other path with a slash has to be a module's or a third party's.
SYSTEM = ("sys/", "netinet/", "arpa/", "net/", "linux/", "bits/", "asm/", "ext/")
# Third parties whose headers stand without a directory.
BARE = ("sqlite3.h", "libpq-fe.h", "backtrace.h")


def arguments(text):
    """`core DEPENDS a b` -> ("core", {"DEPENDS": ["a", "b"]})."""
    words = re.sub(r"#.*", "", text).replace('"', " ").split()
    groups, current = {}, []
    for word in words[1:]:
        if word.isupper():
            current = groups.setdefault(word, [])
        else:
            current.append(word)
    return words[0], groups


class Rules:
    def __init__(self, root):
        self.modules, self.owner = {}, {}
        for file in [root / "CMakeLists.txt", root / "cmake" / "third_party.cmake"]:
            for function, text in CALL.findall(file.read_text()):
                name, groups = arguments(text)
                if function == "curfew_module":
                    self.modules[name] = groups
                else:
                    for prefix in groups.get("HEADERS", []):
                        self.owner[prefix] = name

    def below(self, module):
        """The module and all that it stands on."""
        found, todo = set(), [module]
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo += self.modules[name].get("DEPENDS", [])
        return found

    def third_parties(self, module, private):
        allowed = {library for name in self.below(module) for library in self.modules[name].get("LINK_PUBLIC", [])}
        if private:
            allowed.update(self.modules[module].get("LINK_PRIVATE", []))
        return allowed

    def owner_of(self, header):
        parts = header.removesuffix(".hpp").removesuffix(".h").split("/")
        for length in range(len(parts), 0, -1):
            owner = self.owner.get("/".join(parts[:length]))
            if owner:
                return owner
        return None

    def violation(self, module, private, header):
        """What is wrong with `module` including `header`, from src/ if `private`; None if nothing is."""
        if header.startswith("curfew/"):
            target = header.split("/")[1].removesuffix(".hpp")
            if target not in self.modules:
                return f"includes {header}, but no curfew_module declares {target}"
            if target not in self.below(module):
                return f"{module} includes {header}, but does not depend on {target}"
            return None
        first = header.split("/")[0]
        if "/" in header and first in self.modules:
            if not private:
                return f"a public header includes the private header {header}"
            return None if first == module else f"{module} includes {header}, which is private to {first}"
        owner = self.owner_of(header)
        if owner:
            if owner in self.third_parties(module, private):
                return None
            where = "" if private else " in public headers"
            return f"includes {header}, but {module} does not name {owner}{where} in its curfew_module line"
        if header in BARE or ("/" in header and not header.startswith(SYSTEM)):
            return f"includes {header}, which no curfew_third_party owns"
        return None


def files(root):
    """(file, module, private) of every file that belongs to a module, or to none."""
    for base, private in [(root / "include" / "curfew", False), (root / "src", True)]:
        for file in sorted(base.rglob("*")):
            if file.suffix in (".hpp", ".h", ".cpp", ".ipp"):
                yield file, file.relative_to(base).parts[0].removesuffix(".hpp"), private


def check(root):
    rules = Rules(root)
    problems = []
    for file, module, private in files(root):
        name = file.relative_to(root)
        if module not in rules.modules:
            problems.append(f"{name}:1: no curfew_module declares {module}")
            continue
        for number, line in enumerate(file.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            header = match.group(1)
            # "detail.hpp" beside the including file is the same as "<module>/detail.hpp".
            if private and (file.parent / header).exists():
                header = (file.parent / header).resolve().relative_to((root / "src").resolve()).as_posix()
            problem = rules.violation(module, private, header)
            if problem:
                problems.append(f"{name}:{number}: {problem}")
    return problems


def self_test():
    planted = {
        "include/curfew/core.hpp": ("#include <vector>", None),
        "include/curfew/core/up.hpp": ("#include <curfew/io.hpp>", "does not depend on io"),
        "include/curfew/core/asio.hpp": ("#include <boost/asio/post.hpp>", "does not name asio in public"),
        "include/curfew/core/inner.hpp": ('#include "core/hidden.hpp"', "private header"),
        "include/curfew/core/unknown.hpp": ("#include <curfew/nowhere.hpp>", "no curfew_module declares nowhere"),
        "include/curfew/stray.hpp": ("", "no curfew_module declares stray"),
        "include/curfew/io.hpp": ("#include <curfew/core.hpp>\n#include <boost/asio.hpp>", None),
        "include/curfew/io/fd.hpp": ("#include <sys/epoll.h>", None),
        "include/curfew/http.hpp": ("#include <curfew/core.hpp>\n#include <boost/asio/ip/tcp.hpp>", None),
        "include/curfew/http/easy.hpp": ("#include <curl/curl.h>", "does not name curl in public"),
        "include/curfew/http/other.hpp": ("#include <boost/spirit/x.hpp>", "no curfew_third_party owns"),
        "src/core/hidden.hpp": ("", None),
        "src/core/tree.cpp": ('#include "hidden.hpp"\n#include "core/hidden.hpp"', None),
        "src/core/sql.cpp": ("#  include <sqlite3.h>", "no curfew_third_party owns"),
        "src/io/thief.cpp": ('#include "core/hidden.hpp"', "private to core"),
        "src/io/curl.cpp": ("#include <curl/curl.h>", "does not name curl"),
        "src/http/client/client.cpp": ("#include <curl/curl.h>\n#include <boost/asio.hpp>", None),
    }
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        for name, (text, _) in planted.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text + "\n")
        (root / "cmake").mkdir()
        (root / "cmake" / "third_party.cmake").write_text(
            "curfew_third_party(asio PACKAGE Boost 1.81\n  HEADERS boost/asio)\n"
            "curfew_third_party(curl HEADERS curl)\n")
        (root / "CMakeLists.txt").write_text(
            "curfew_module(core)\ncurfew_module(io DEPENDS core LINK_PUBLIC asio)\n"
            "curfew_module(http DEPENDS io LINK_PRIVATE curl)\n")
        problems = check(root)
    failures = []
    for name, (_, expected) in planted.items():
        found = [problem for problem in problems if problem.startswith(name + ":")]
        if expected is None and found:
            failures.append(f"false alarm: {found[0]}")
        if expected is not None and not any(expected in problem for problem in found):
            failures.append(f"missed in {name}: {expected}; found {found}")
    return failures


def main(argument):
    problems = self_test() if argument == "--self-test" else check(pathlib.Path(argument))
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
