#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what CONTRIBUTING's style guide and ARCHITECTURE.md's layers promise.

usage: style.py ROOT     prints FILE:LINE: RULE: MESSAGE for each problem; exits 1 if there is one
"""

import ast
import os
import re
import subprocess
import sys
from dataclasses import dataclass

LINE_MAX = 100
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

# Layer -> the layers it may include from, besides itself. A file belongs to the longest prefix that
# fits its path; ARCHITECTURE.md draws the same picture.
BOTTOM = ["sandbox/sys"]
BELOW_DAEMON = ["pool", "sandbox", *BOTTOM]
MODULES = ["daemon/settings", "daemon/sqlite", "daemon/http", "daemon/loop", *BELOW_DAEMON]
STORES = ["daemon/registry", "daemon/ledger", *MODULES]
FLEET = ["daemon/worker", *STORES]
INVOCATION = ["daemon/fleet", *FLEET]
OUTSIDE = ["daemon/invocation", *INVOCATION]
LAYERS = {
    "sandbox/sys": [],
    "sandbox": BOTTOM,
    "sandbox/init": ["sandbox", *BOTTOM],
    "sandbox/spawner": ["sandbox", *BOTTOM],
    "pool": [],
    "cli": BOTTOM,
    "daemon/loop": BELOW_DAEMON,
    "daemon/settings": BELOW_DAEMON,
    "daemon/sqlite": BELOW_DAEMON,
    "daemon/http": ["daemon/loop", *BELOW_DAEMON],
    "daemon/registry": MODULES,
    "daemon/ledger": MODULES,
    "daemon/worker": STORES,
    "daemon/fleet": FLEET,
    "daemon/invocation": INVOCATION,
    "daemon/triggers": OUTSIDE,
    "daemon/api": ["daemon/triggers", *OUTSIDE],
    "daemon": ["daemon/api", "daemon/triggers", *OUTSIDE],  # main, config
}

# Files in daemon/ that are parts of a layer with another name; those named after theirs
# (daemon/fleet_build.cc) need no entry. Whatever else is there belongs to main.
PARTS = {
    "daemon/settings": ["build_info"],
    "daemon/worker": ["channel", "counters", "pipe", "runtime", "spawner"],
    "daemon/invocation": ["call_errors", "call_meter", "deploy", "metrics", "process_metrics",
                          "trash"],
}
FILE_LAYERS = {f"daemon/{part}": layer for layer, parts in PARTS.items() for part in parts}
FILE_LAYERS |= {layer: layer for layer in ("daemon/worker", "daemon/fleet", "daemon/invocation")}

# Foreign header -> where it may be included. Tests may include what they test with.
LIBRARIES = {
    r"uv\.h": ["daemon/loop", "daemon/http"],
    r"llhttp\.h": ["daemon/http"],
    r"simdjson\.h": ["daemon"],
    r"sqlite3\.h": ["daemon"],
    r"archive(_entry)?\.h": ["daemon", "cli"],
    r"seccomp\.h|sys/capability\.h": ["sandbox/init"],
}

# (rule, where it holds, where it does not, what must not be there, what to do instead)
WORDS = [
    ("unfinished", "", "tests/style", r"\bFIXME\b|\bXXX\b", "finish it, or open an issue"),
    ("unfinished", "", "tests/style", r"\bTODO\b(?!\([a-z]+\): )", "write TODO(kind): what"),
    ("printing", "daemon|pool|sandbox",
     r"\S*(main|filter_generator)\.cc|(daemon/(check|options)|sandbox/sys/error)\.cc",
     r"(?<![\w])(f?printf|puts)\s*\(|std::(cout|cerr)\b",
     "libraries throw or return; only daemon, cli and hearth-init log, by sandbox/sys/log.h"),
    ("vague name", "daemon|pool|sandbox|cli", "",
     r"\b(class|struct)\s+\w*(Manager|Helper|Utils?|Impl)\b", "call it by what it is"),
]

C_LIKE = (".h", ".cc", ".c", ".js", ".mjs", ".cjs")
SOURCES = (*C_LIKE, ".py", ".sh")


@dataclass(frozen=True, order=True)
class Problem:
    path: str
    line: int
    rule: str
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.rule}: {self.message}"


def below(path, folders):
    return any(path.startswith(folder + "/") for folder in folders)


def layer_of(path):
    """The layer of a file: its folder, or for files in daemon/ the one they are a part of."""
    stem = os.path.splitext(path)[0]
    for name, layer in FILE_LAYERS.items():
        if stem == name or stem.startswith(name + "_"):
            return layer
    return max((layer for layer in LAYERS if path.startswith(layer + "/")), key=len, default=None)


def check_includes(path, lines):
    layer = layer_of(path)
    for number, line in enumerate(lines, 1):
        match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
        if not match:
            continue
        quote, header = match.groups()
        if layer and quote == '"':
            target = layer_of(header)
            if target and target != layer and target not in LAYERS[layer]:
                yield Problem(path, number, "layers", f"{layer} must not include {header}")
        if layer == "pool" and quote == "<" and not re.fullmatch(r"[a-z_]+", header):
            yield Problem(path, number, "layers", f"pool uses the standard library only: {header}")
        for pattern, homes in LIBRARIES.items():
            if re.fullmatch(pattern, header) and not below(path, [*homes, "tests"]):
                yield Problem(path, number, "libraries",
                              f"{header} is included only below {', '.join(homes)}")


def check_words(path, lines):
    for rule, where, exempt, pattern, instead in WORDS:
        if where and not re.match(f"(?:{where})/", path):
            continue
        if exempt and re.match(exempt, path):
            continue
        for number, line in enumerate(lines, 1):
            match = re.search(pattern, line)
            if match:
                yield Problem(path, number, rule, f"'{match.group().strip()}': {instead}")


def check_size(path, lines):
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_MAX:
            yield Problem(path, number, "line length", f"{len(line)} > {LINE_MAX} characters")
    if len(lines) > FILE_LINES_MAX:
        yield Problem(path, len(lines), "file length", f"{len(lines)} > {FILE_LINES_MAX} lines")


def check_licence(path, lines):
    start = 1 if lines and lines[0].startswith("#!") else 0
    if len(lines) <= start or "SPDX-License-Identifier: Apache-2.0" not in lines[start]:
        yield Problem(path, start + 1, "licence", "the SPDX line comes first")


def blank_out(text):
    """The same text with comments, strings and character literals blanked, line ends kept."""
    token = re.compile(
        r'//[^\n]*|/\*.*?\*/'
        r'|R"(?P<delimiter>[^(\s]*)\(.*?\)(?P=delimiter)"'
        r'|"(?:\\.|[^"\\\n])*"'
        r"|(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])*'"
        r"|`(?:\\.|[^`\\])*`", re.S)
    return token.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def c_functions(text):
    """(first line, last line) of each outermost function body."""
    text = re.sub(r"(?m)^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", lambda m: re.sub(r"[^\n]", " ", m.group()),
                  blank_out(text))
    scopes = []  # of each open brace: None, or the line where a function's body begins
    header_from = 0
    for match in re.finditer(r"[{};]", text):
        header, at = text[header_from:match.start()], text.count("\n", 0, match.start()) + 1
        if match.group() == "{":
            inside = any(scope is not None for scope in scopes)
            named = re.search(r"\b(namespace|class|struct|union|enum|extern)\b[^()]*$", header)
            is_function = not inside and "(" in header and not named
            scopes.append(at if is_function else None)
        elif match.group() == "}" and scopes:
            start = scopes.pop()
            if start is not None:
                yield start, at
        header_from = match.end()


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.end_lineno


def check_functions(path, text):
    functions = python_functions if path.endswith(".py") else c_functions
    for first, last in functions(text):
        lines = last - first + 1
        if lines > FUNCTION_LINES_MAX:
            yield Problem(path, first, "function length", f"{lines} > {FUNCTION_LINES_MAX} lines")


def check_file(path, text):
    lines = text.splitlines()
    yield from check_licence(path, lines)
    yield from check_size(path, lines)
    yield from check_words(path, lines)
    if path.endswith((*C_LIKE, ".py")):
        yield from check_functions(path, text)
    if path.endswith((".h", ".cc", ".c")):
        yield from check_includes(path, lines)


def source_files(root):
    """Tracked and new files where git knows them, else (an unpacked archive) whatever is there."""
    command = ["git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        paths = listed.stdout.splitlines()
    else:
        skipped = re.compile(r"\.|build|stage|node_modules|__pycache__")
        paths = []
        for folder, folders, names in os.walk(root):
            folders[:] = [each for each in folders if not skipped.match(each)]
            paths += [os.path.relpath(os.path.join(folder, name), root) for name in names]
    for path in sorted(set(paths)):
        full = os.path.join(root, path)
        if not os.path.isfile(full) or os.path.islink(full) or "/vendor/" in path:
            continue
        if path.endswith(SOURCES):
            yield path
        elif not os.path.splitext(path)[1] and not path.startswith("tests/fuzz/corpus/"):
            with open(full, "rb") as file:  # a script without a suffix: demo, check
                if file.read(2) == b"#!":
                    yield path


def quoted_in_tables(root, name):
    """(line, word in backquotes) of the third column of a document's tables."""
    with open(os.path.join(root, name), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            cells = line.split(" | ")
            if line.startswith("| ") and len(cells) == 3:
                yield from ((number, word) for word in re.findall(r"`([^`]+)`", cells[2]))


def check_documents(root):
    """A control's test is there, and the operator's list names what doctor looks at."""
    for line, test in quoted_in_tables(root, "THREAT_MODEL.md"):
        if "/" in test and not test.startswith("./") and not os.path.exists(
                os.path.join(root, "tests", test)):
            yield Problem("THREAT_MODEL.md", line, "no such test", f"tests/{test}")
    doctor = os.path.join(root, "cli/doctor")
    said = "".join(open(os.path.join(doctor, name), encoding="utf-8").read()
                   for name in sorted(os.listdir(doctor)))
    for line, check in quoted_in_tables(root, "SECURITY.md"):
        if f'"{check.removesuffix("…").rstrip()}' not in said:
            yield Problem("SECURITY.md", line, "no such check", f"hearth doctor has no '{check}'")


def main(root):
    problems, files = [*check_documents(root)], 0
    for path in source_files(root):
        with open(os.path.join(root, path), encoding="utf-8") as file:
            problems += check_file(path, file.read())
        files += 1
    for problem in sorted(problems):
        print(problem)
    print(f"{files} files, {len(problems)} problems")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
