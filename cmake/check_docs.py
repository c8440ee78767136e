#!/usr/bin/env python3
"""Checks every *.md file of the project: links lead somewhere, snippets are what the file they name says. That other
snippets compile is doc_snippets.py's to check.

    check_docs.py <root>        prints every problem as file:line: message
    check_docs.py --self-test   proves on a planted tree that problems are seen

A ```cpp block whose first line is a comment with a path in the project, such as

    // examples/minimal_timeout.cpp
    // examples/minimal_timeout.cpp: plain blocking code

has to be found in that file, where every line that holds nothing but "…" or "// …" stands for left-out lines.
Indentation and blank lines do not count.

A ```text block behind a snippet of tests/compile_fail is the compiler's message: it matches each `// expect:` of that file.
"""

import pathlib
import re
import sys
import tempfile

FENCE = re.compile(r"^\s*```\s*(\w*)")
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)|\!\[[^\]]*\]\(([^)\s]+)\)")
SNIPPET = re.compile(r"^//\s*((?:examples|include|src|tests|bench|apps)/[\w./-]+\.\w+)\b")
GAP = re.compile(r"^(//\s*)?(…|\.\.\.)$")
SKIPPED = ("build", "node_modules", ".git")


def anchor(heading):
    """A heading's anchor, as GitHub makes it."""
    text = re.sub(r"`|\*|\[([^\]]*)\]\([^)]*\)", lambda match: match.group(1) or "", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(file):
    found, fenced = set(), False
    for line in file.read_text().splitlines():
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced and line.startswith("#"):
            found.add(anchor(line.lstrip("#")))
    return found


def link_problem(root, file, target):
    if re.match(r"[a-z]+:", target):
        return None
    path, _, fragment = target.partition("#")
    where = file if not path else (root / path[1:] if path.startswith("/") else file.parent / path)
    if not where.exists():
        return f"the link to {target} leads nowhere"
    if fragment and where.suffix == ".md" and fragment not in anchors(where):
        return f"{where.name} has no heading #{fragment}"
    return None


def lines_of(text):
    return [" ".join(line.split()) for line in text if line.strip()]


def snippet_problem(root, block):
    match = SNIPPET.match(block[0]) if block else None
    if not match:
        return None
    source = root / match.group(1)
    if not source.exists():
        return f"the snippet's file {match.group(1)} does not exist"
    have = lines_of(source.read_text().splitlines())
    at, part = 0, []
    for line in lines_of(block[1:]) + ["…"]:
        if not GAP.match(line):
            part.append(line)
            continue
        found = next((i for i in range(at, len(have) - len(part) + 1) if have[i:i + len(part)] == part), None)
        if found is None:
            return f"{match.group(1)} does not hold the snippet's part that starts with: {part[0]}"
        at, part = found + len(part), []
    return None


def message_problem(root, refused, block):
    expected = re.findall(r"^// expect: (.*)$", (root / refused).read_text(), re.MULTILINE)
    missing = next((each for each in expected if not re.search(each, "\n".join(block))), None)
    return f"the message is not what {refused} expects: {missing}" if missing else None


def check_file(root, file):
    block, start, refused = None, 0, None
    for number, line in enumerate(file.read_text().splitlines(), 1):
        fence = FENCE.match(line)
        if fence and block is None:
            block, start, language = [], number, fence.group(1)
        elif fence:
            problem = None
            if language == "cpp":
                problem = snippet_problem(root, block)
                named = SNIPPET.match(block[0]) if block and not problem else None
                refused = named.group(1) if named and "compile_fail/" in named.group(1) else None
            elif language == "text" and refused:
                problem, refused = message_problem(root, refused, block), None
            if problem:
                yield start, problem
            block = None
        elif block is not None:
            block.append(line)
        else:
            for match in LINK.finditer(re.sub(r"`[^`]*`", "", line)):
                problem = link_problem(root, file, match.group(1) or match.group(2))
                if problem:
                    yield number, problem


def check(root):
    problems = []
    for file in sorted(root.rglob("*.md")):
        name = file.relative_to(root)
        if not any(part in SKIPPED for part in name.parts):
            problems += [f"{name}:{number}: {problem}" for number, problem in check_file(root, file)]
    return problems


def self_test():
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        (root / "examples").mkdir()
        (root / "examples" / "a.cpp").write_text("int main() {\n  one();\n  two();\n  three();\n}\n")
        (root / "tests" / "compile_fail").mkdir(parents=True)
        (root / "tests" / "compile_fail" / "a.cpp").write_text("// expect: deleted.*nothing\nnothing();\n")
        refused = "```cpp\n// tests/compile_fail/a.cpp\nnothing();\n```\n```text\n"
        (root / "good.md").write_text(
            "# A `title`, here\n[x](#a-title-here) [y](bad.md) [z](https://example.org/) `[no](link)`\n"
            "```cpp\n// examples/a.cpp: why\none();\n// …\nthree();\n```\n```cpp\nfree();\n```\n"
            + refused + "error: use of deleted function 'nothing'\n```\n")
        (root / "bad.md").write_text(
            "[x](nowhere.md)\n[y](good.md#nothing)\n```cpp\n// examples/a.cpp\none();\nthree();\n```\n"
            "```cpp\n// examples/b.cpp\n```\n" + refused + "error: deleted\n```\n")
        problems = check(root)
    expected = ["bad.md:1: ", "bad.md:2: ", "bad.md:3: ", "bad.md:8: ", "bad.md:15: "]
    found = [re.match(r"\S+ ", problem).group(0) for problem in problems]
    return [] if found == expected else [f"expected {expected}, found {problems}"]


def main(argument):
    problems = self_test() if argument == "--self-test" else check(pathlib.Path(argument))
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
