#!/usr/bin/env python3
"""Random small programs that must not crash the checks, whatever they find; some of them do not compile.

    fuzz.py <clang-tidy> <module> <include> [--programs <n>] [--seed <n>] [--keep <folder>]

Prints its seed, with which a run can be repeated. All checks run over each program and apply their fix-its to it. A file
holds several programs, since most of the time is taken by the headers; one that crashes the checks is kept.
"""

import argparse
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

A_FILE = 12  # programs

PRELUDE = """
#include <array>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>
#include <tuple>

#include "coroutines.hpp"

using curfew::context;

struct options { std::string name; std::string path{}; int number = 1; };
struct request { const context& ctx() const; int id; };
curfew::result<int> load(const context& ctx, int id);
int load(int id);
void step();
void step(const context& ctx);
curfew::result<> check(const context& ctx, options with = {});
asio::awaitable<curfew::result<int>> async_load(context ctx, int id);
asio::awaitable<int> number();
asio::awaitable<std::string> text(std::string of);
asio::awaitable<int> open(context ctx, options with);
template <class F> auto run(F f) { return f(); }
template <class F> asio::awaitable<int> async_run(F f) { f(); co_return 1; }
struct generator {
  struct promise_type {
    generator get_return_object() { return {}; }
    std::suspend_always initial_suspend() { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void unhandled_exception() {}
    void return_void() {}
    std::suspend_always yield_value(options) { return {}; }
  };
};
#define PAUSE(ctx) std::this_thread::sleep_for(1s)
"""

# What the markers stand for: @c a context, @e an expression, @b statements, @s one, @l a lambda, @p parameters, @f a
# function, @k a name that may be known, @n and @m new names, the same each time within one text.
CONTEXTS = [
    "ctx", "ctx", "ctx", "other", "with.ctx()", "curfew::background()", "curfew::todo()", "this->ctx_",
    "std::move(ctx)", "(yes ? ctx : other)", "std::as_const(ctx)", "*&ctx", "t.ctx", "{}",
    "curfew::without_cancel(ctx)", "std::get<0>(std::tie(ctx))", "[&]() -> const context& { return ctx; }()",
    "curfew::with_cancel(ctx)", "@k",
]
LEAVES = [
    "1", "q", '"text"', "nullptr", "yes", "t", "id", "sizeof(ctx)", "std::string()", "options{}", "@k",
]
EXPRESSIONS = [
    "load(@c, @e)", "load(@e)", "step(@c)", "check(@c)", "check(@c, {@e, @e})", "curfew::sleep_for(@c, 1s)",
    "co_await curfew::async_sleep_for(@c, 1s)", "co_await async_load(@c, @e)", "co_await open(@c, {@e, @e})",
    "co_await open(@c, options{.name = @e})", "co_await text(@e)", "co_await async_run(@l)", "co_await run(@l)",
    "co_await @l()", "run(@l)", "@l()", "(@e ? @e : @e)", "(@e ?: @e)", "@e && @e", "@e + @e", "!@e", "*@e",
    "@c.err()", "@c.done()", "(@e).value()", "(@e).value_or(@e)", "std::move(@e)",
    "std::array<std::string, 2>{@e, @e}", "co_yield {@e}", "co_yield @e", "decltype(@e)()", "t.load(@c, @e)",
    "T::of(@e)", "t(@c)", "std::forward<T>(t)(@e)", "new options{@e}", "throw @e", "static_cast<void>(@e)",
    "(@e, @e)", "({ @s })", "asio::co_spawn(io, @l(), asio::detached)",
    "asio::co_spawn(io, open(@c, @e), asio::detached)", "std::this_thread::sleep_for(@e)", "std::thread(@l).join()",
    "(@e + ... + t)",
]
SHORT = [  # statements
    "step();", "return;", "break;", "continue;", "co_return;", ";", "step(@c);", "return 1;",
]
STATEMENTS = [
    "@e;", "@e;", "auto @n = @e;", "auto @n = @e;", "auto @n(@e);", "options @n{@e, @e};",
    "auto @n = curfew::with_timeout(@c, 1s);", "curfew::cancel_scope @n = curfew::with_cancel(@c);",
    "context @n = curfew::with_value(@c, key, @e);", "auto [@n, @m] = std::pair(@e, @e);",
    "std::error_code @n; load(@c, @n);", "std::ignore = @e;", "static auto @n = @e;", "const auto& @n = @e;",
    "while (true) { @b }", "while (@e) { @b }", "while (auto @n = @e) { @b }", "for (;;) { @b }",
    "for (int @n = 0;; ++@n) { @b }", "for (auto @n : @e) { @b }", "do { @b } while (true);",
    "do { @b } while (@e);", "if (@e) { @b } else { @b }", "if (auto @n = @e; !@n) { @b }",
    "if constexpr (sizeof(@n) > 1) { @b }", "switch (@e) { case 1: @b break; default: @b }",
    "try { @b } catch (...) { @b }", "try { @b } catch (const std::exception& @n) { throw; }", "goto @n; @n: { @b }",
    "@n: @s", "return @e;", "co_return @e;", "{ @b }", "curfew::on_done @n(@c, [&]() noexcept { @b });",
    "std::condition_variable_any @n; @n.wait(lock, [&] { return @e; });", "auto @n = @l;", "@l();",
    "struct @n { context ctx_; void go(@p) { @b } };", "[[maybe_unused]] auto @n = @e;", "using @n = decltype(@e);",
    "ctx = @c;", "PAUSE(@c);", "static_assert(@e);",
]
PARAMETERS = [
    "const context& ctx", "context ctx", "curfew::cancel_scope ctx", "curfew::cancel_scope& ctx", "const context&",
    "std::string q", "const std::string& q", "std::string&& q", "std::string_view q", "const request& with",
    "request with", "bool yes = true", "int id", "auto t", "auto&&... t", "context other", "context* ctx",
    "std::vector<context> ctx", "int id = load(1)", "asio::io_context& io", "this auto& t",
]
CAPTURES = ["", "&", "=", "ctx", "&ctx", "ctx = ctx", "ctx = std::move(ctx)", "this", "*this", "q", "q = std::move(q)", "=, &q", "x = @e",
            "...args = t"]
CALLS = ["", "()", "(context ctx)", "(const context& ctx, auto q)", "(auto&&... t)", "() mutable", "() -> asio::awaitable<int>",
         "(context ctx) -> asio::awaitable<void>", "<class T>(T t)", "() noexcept -> int"]
USUAL = "context ctx, context other, std::string q, bool yes, int id, asio::io_context& io, request with"
RESULTS = ["void", "int", "auto", "curfew::result<>", "curfew::result<int>", "asio::awaitable<void>", "asio::awaitable<int>",
           "asio::awaitable<curfew::result<int>>", "generator", "context", "decltype(auto)", "T", "constexpr int"]
TEMPLATES = ["", "", "", "", "template <class T> ", "template <class... T> ", "template <int N> ", "template <> ", "inline "]
BASES = ["", "", " : curfew::cancel_scope", " : request", " : T", " : @k"]
MEMBERS = ["context ctx_;", "const context& ctx_;", "std::vector<context> all_;", "curfew::cancel_scope scope_;", "T of_;", "int field = @e;",
           "std::unique_lock<std::mutex> lock;", "context ctx() const { @b }", "~@t() { @b }", "explicit @t(@p) : ctx_(@c) { @b }",
           "operator context() const { @b }", "friend @f", "@f", "@f"]


class program:
    """One program: a namespace with a few functions and classes."""

    def __init__(self, number, at):
        self.at, self.number, self.names = at, number, 0

    def name(self):
        self.names += 1
        return f"n{self.names}"

    def known(self):
        return f"n{self.at.randint(1, max(1, self.names))}" if self.at.random() < 0.7 else "undeclared"

    def expand(self, text, depth, own=""):
        """The text with what its markers stand for, `depth` levels of which go deeper."""
        fresh = {"t": own}

        def one(match):
            marker = match[1]
            if marker in "nmt":
                return fresh.setdefault(marker, "") or fresh.update({marker: self.name()}) or fresh[marker]
            if marker == "k":
                return self.known()
            if marker == "c":
                return self.expand(self.at.choice(CONTEXTS), depth)
            if marker == "e":
                return self.expand(self.at.choice(EXPRESSIONS if depth > 0 else LEAVES), depth - 1)
            if marker == "s":
                return self.expand(self.at.choice(STATEMENTS if depth > 0 else SHORT), depth - 1)
            if marker == "b":
                return self.expand(" ".join(["@s"] * self.at.randint(0, 3)), depth)
            if marker == "p":
                return ", ".join(self.at.choice(PARAMETERS) for _ in range(self.at.randint(0, 4)))
            if marker == "f":
                return self.function(depth - 1)
            return self.expand(f"[{self.at.choice(CAPTURES)}]{self.at.choice(CALLS)} {{ @b }}", depth - 1)

        return re.sub("@([a-z])", one, text)

    def function(self, depth):
        parameters = USUAL if self.at.random() < 0.6 else "@p"
        tail = self.at.choice(["", "", "", " noexcept", " requires true", " try", " -> int"])
        end = " catch (...) { @b }" if tail == " try" else ""
        return self.expand(f"{self.at.choice(TEMPLATES)}{self.at.choice(RESULTS)} @n({parameters}){tail} {{\n  @s @s @b\n}}{end}", depth)

    def kind(self, depth):
        name, template = self.name(), self.at.choice(["", "", "template <class T> ", "template <class T, int N> "])
        members = [self.at.choice(MEMBERS) for _ in range(self.at.randint(0, 4))]
        text = f"{template}class {name}{self.at.choice(BASES)} {{\n public:\n  " + "\n  ".join(members) + "\n};"
        return self.expand(text, depth, name)

    def text(self):
        parts = [self.at.choice((self.function, self.function, self.kind))(self.at.randint(1, 4)) for _ in range(self.at.randint(1, 3))]
        return f"namespace p{self.number} {{\n" + "\n".join(parts) + "\n}\n"


def crash(options, file):
    """What clang-tidy says when it crashes, or hangs, over the file; "" when it does not."""
    command = [options.tidy, f"-load={options.module}", "-checks=-*,curfew-*", "-quiet", "-fix-errors", str(file), "--", "-std=c++23", "-w",
               "-ferror-limit=0", f"-I{options.include}", f"-I{pathlib.Path(__file__).parent}", "-fno-color-diagnostics"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=600)
    except subprocess.TimeoutExpired:
        return "hangs"
    if run.returncode < 0 or "Stack dump" in run.stderr or "bug report" in run.stderr:
        return run.stderr[-4000:] or f"ended by signal {-run.returncode}"
    # An error of the program is none of the module's; but the checks must have run.
    return "" if "[curfew-" in run.stdout or "error:" in run.stdout or run.returncode == 0 else run.stdout + run.stderr


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tidy")
    parser.add_argument("module")
    parser.add_argument("include")
    parser.add_argument("--programs", type=int, default=36)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--keep", type=pathlib.Path, default=pathlib.Path("."), help="where a program that crashes is put")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    at, bad = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory() as folder:
        for first in range(0, options.programs, A_FILE):
            numbers = range(first, min(first + A_FILE, options.programs))
            texts = [program(number, at).text() for number in numbers]
            file = pathlib.Path(folder) / f"programs{first}.cpp"

            def said(of):
                file.write_text(PRELUDE + "\n".join(of))
                return crash(options, file)

            if not said(texts):
                continue
            for text in [*([text] for text in texts), texts]:  # alone, if it crashes alone
                told = said(text)
                if told:
                    bad += 1
                    kept = options.keep / f"crash-{options.seed}-{first}.cpp"
                    file.write_text(PRELUDE + "\n".join(text))
                    shutil.copy(file, kept)
                    print(f"{kept}:\n{told}", flush=True)
                    break
    print(f"{options.programs} programs, {bad} crashes")
    sys.exit(bad != 0)


if __name__ == "__main__":
    main()
