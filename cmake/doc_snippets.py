#!/usr/bin/env python3
"""Makes a source file of the snippets that the documentation shows, so that they are compiled.

    doc_snippets.py <root> <output> <fixture> <file>...    writes the snippets of the files to output
    doc_snippets.py --self-test <compiler>                 proves on planted files that mistakes are seen, at their line

A snippet is, in a header, a block of `/// ` lines that is indented by four further spaces and stands behind an empty
`///` line; in a .md file, a ```cpp block. A block that names a file of the project in its first line is no snippet
here: check_docs.py holds it against that file.

  * It is the body of `curfew::result<> snippet(const curfew::context& ctx)`.
  * With co_await or co_return in it, it is the body of `asio::awaitable<curfew::result<>> snippet(curfew::context ctx)`.
  * With a function, a class or an `inline constexpr` at its left edge, it stands in a namespace as it is.
  * `…` stands for statements that are left out. A block with lines and arrows (─ │ ►) is a drawing, and no snippet.

The header that it stands in is included. Other names are declared in the fixture, in `namespace docs`. The compiler reports a mistake by the snippet's
own file and line.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

import check_docs

COMMENT = re.compile(r"^\s*///(.*)$")
INDENTED = re.compile(r"^     ")
INCLUDE = re.compile(r"^\s*#include\b.*$")
DECLARATION = re.compile(r"^(inline|constexpr|namespace|template|class|struct|enum|static|#include)\b")
FUNCTION = re.compile(r"^[A-Za-z_][\w:<>,&* ]* [&*]?[\w:]+\((?!\[|\{|\")[^;]*(\)[\w ]*\{(\s|.*\}\s*)?(//.*)?|,)$")
STATEMENT = re.compile(r"^(if|for|while|switch|do|else|return|co_return|co_await|try|catch|auto [\w\[\], ]+ =)\b")
DRAWING = re.compile(r"[\u2500-\u25ff]")
COMMENT_BEHIND = re.compile(r"(^|\s)//.*")
COROUTINE = re.compile(r"\bco_(await|return|yield)\b")


class Snippet:
    def __init__(self, file, line, text):
        self.file, self.line, self.text = file, line, text

    def __repr__(self):
        return f"{self.file}:{self.line}"


def snippets_of_header(name, text):
    block, start, before = [], 0, None
    for number, line in enumerate(text.splitlines() + [""], 1):
        comment = COMMENT.match(line)
        inside = comment and (INDENTED.match(comment.group(1)) if not block else
                              INDENTED.match(comment.group(1)) or not comment.group(1).strip())
        if inside and (block or before == ""):
            start = start if block else number
            block.append(comment.group(1)[5:])
        elif block:
            yield Snippet(name, start, block)
            block = []
        before = comment.group(1).strip() if comment else None


def snippets_of_page(name, text):
    block, start = None, 0
    for number, line in enumerate(text.splitlines(), 1):
        fence = check_docs.FENCE.match(line)
        if fence and block is None:
            block, start, language = [], number + 1, fence.group(1)
        elif fence:
            if language == "cpp" and not (block and check_docs.SNIPPET.match(block[0])):
                yield Snippet(name, start, block)
            block = None
        elif block is not None:
            block.append(line)


def snippets_of(root, file):
    text = (root / file).read_text()
    found = snippets_of_page(file, text) if file.endswith(".md") else snippets_of_header(file, text)
    return [each for each in found if not any(DRAWING.search(line) for line in each.text)]


def stands_in_a_namespace(text):
    return any(DECLARATION.match(line) or (FUNCTION.match(line) and not STATEMENT.match(line)) for line in text)


def source(snippets, fixture, output):
    lines = [f'#include "{fixture}"']
    lines += sorted({f"#include <{each.file[8:]}>" for each in snippets if each.file.startswith("include/")})
    lines += [line for each in snippets for line in each.text if INCLUDE.match(line)]
    emit = lambda *text: lines.extend(text)
    for number, each in enumerate(snippets, 1):
        text = ["" if INCLUDE.match(line) else line.replace("…", "left_out();") for line in each.text]
        coroutine = any(COROUTINE.search(COMMENT_BEHIND.sub("", line)) for line in text)
        whole = stands_in_a_namespace(each.text)
        emit(f"namespace docs::snippet_{number} {{")
        if whole:
            emit("#pragma GCC diagnostic push", '#pragma GCC diagnostic ignored "-Wreturn-type"')  # of `main`
        elif coroutine:
            emit("boost::asio::awaitable<curfew::result<>> snippet([[maybe_unused]] curfew::context ctx) {")
        else:
            emit("curfew::result<> snippet([[maybe_unused]] const curfew::context& ctx) {")
        emit(f'#line {each.line} "{each.file}"', *text, f'#line {len(lines) + len(text) + 3} "{output}"')
        if whole:
            emit("#pragma GCC diagnostic pop", "}")
        elif coroutine:
            emit("co_return curfew::result<>();", "}", "}")
        else:
            emit("return {};", "}", "}")
    return "\n".join(lines) + "\n"


def write(root, output, fixture, files):
    snippets = [each for file in files for each in snippets_of(root, file)]
    output.write_text(source(snippets, fixture, output.name))


FIXTURE = """
namespace boost::asio { }
namespace curfew { struct error {}; template <class T = void> struct result { result() {} result(error) {} }; struct context {}; }
namespace docs { [[noreturn]] void left_out(); int number(); }
"""

HEADER = """
/// Fields go on, and are no snippet.
/// Throws:       nothing, which goes on
///               here, undeclared_1();
///
///     int n = number();
///
///     if (n) return curfew::error();   // a comment
///
/// Another one.
///
///     undeclared_2();
///     for (;;) …
void f();
///
///     inline constexpr int answer = 42;
///     int main() { undeclared_3(answer); }
void g();
///
///     a ─► b
void h();
///
///     auto twice = [](int n) { … };
///     undeclared_4();
"""

PAGE = """
```cpp
// examples/a.cpp
undeclared_5();
```
```console
undeclared_6();
```
```cpp
#include <vector>
int sum(const std::vector<int>& numbers,
        int more) {
  …
}
```
```cpp
number();
undeclared_7();
```
"""


def self_test(compiler):
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        (root / "fixture.hpp").write_text(FIXTURE)
        (root / "a.hpp").write_text(HEADER)
        (root / "a.md").write_text(PAGE)
        write(root, root / "out.cpp", "fixture.hpp", ["a.hpp", "a.md"])
        run = subprocess.run([compiler, "-std=c++23", "-Wall", "-fsyntax-only", "out.cpp"], cwd=root,
                             capture_output=True, text=True)
    expected = {("a.hpp", 12, 2), ("a.hpp", 17, 3), ("a.hpp", 24, 4), ("a.md", 18, 7)}
    found = {(name, int(line), int(which)) for name, line, which in
             re.findall(r"^(\S+?):(\d+):\d+: error: .*undeclared_(\d)", run.stderr, re.MULTILINE)}
    errors = len(re.findall(r"\b(?:error|warning): ", run.stderr))
    if found != expected or errors != len(expected):
        return [f"expected {sorted(expected)}, found {sorted(found)}", run.stderr]
    return []


def main(arguments):
    if arguments[0] == "--self-test":
        problems = self_test(arguments[1])
        print(*problems, sep="\n", end="")
        return 1 if problems else 0
    root, output, fixture, *files = arguments
    write(pathlib.Path(root), pathlib.Path(output), fixture, files)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
