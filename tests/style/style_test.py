#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Each rule of style.py finds what it forbids, and lets pass what it allows."""

import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import style  # noqa: E402  the path is set just above

SPDX = "// SPDX-License-Identifier: Apache-2.0\n"


def rules(path, text):
    return [(problem.line, problem.rule) for problem in style.check_file(path, text)]


class Style(unittest.TestCase):
    def test_a_higher_layer_is_not_included(self):
        text = SPDX + '#include "daemon/invocation.h"\n'
        self.assertEqual(rules("daemon/fleet.cc", text), [(2, "layers")])
        self.assertEqual(rules("daemon/fleet_build.cc", text), [(2, "layers")])
        self.assertEqual(rules("daemon/spawner.cc", text), [(2, "layers")])
        self.assertEqual(rules("daemon/call_meter.cc", text), [])
        self.assertEqual(rules("daemon/api/calls.cc", text), [])
        self.assertEqual(style.layer_of("sandbox/spawner_client.h"), "sandbox")

    def test_a_neighbour_is_not_included(self):
        text = SPDX + '#include "sandbox/spawner/policy.h"\n'
        self.assertEqual(rules("sandbox/init/main.cc", text), [(2, "layers")])
        self.assertEqual(rules("cli/main.cc", text), [(2, "layers")])

    def test_the_cli_includes_only_the_bottom_layer(self):
        self.assertEqual(rules("cli/a.cc", SPDX + '#include "sandbox/sys/fd.h"\n'), [])
        self.assertEqual(rules("cli/a.cc", SPDX + '#include "sandbox/spec.h"\n'), [(2, "layers")])

    def test_pool_uses_the_standard_library_only(self):
        self.assertEqual(rules("pool/a.cc", SPDX + "#include <unistd.h>\n"), [(2, "layers")])
        self.assertEqual(rules("pool/a.cc", SPDX + "#include <vector>\n"), [])
        self.assertEqual(rules("pool/a.cc", SPDX + '#include "sandbox/sys/fd.h"\n'),
                         [(2, "layers")])

    def test_a_library_stays_in_its_folder(self):
        for header, home, elsewhere in (("uv.h", "daemon/loop", "daemon/api"),
                                        ("sqlite3.h", "daemon/sqlite", "cli"),
                                        ("seccomp.h", "sandbox/init", "sandbox/spawner"),
                                        ("sys/capability.h", "sandbox/init", "daemon/worker")):
            text = SPDX + f"#include <{header}>\n"
            self.assertEqual(rules(f"{home}/a.cc", text), [], header)
            self.assertEqual(rules(f"{elsewhere}/a.cc", text), [(2, "libraries")], header)

    def test_every_layer_named_is_a_layer(self):
        for layer, lower in style.LAYERS.items():
            for each in lower:
                self.assertIn(each, style.LAYERS)
                self.assertNotIn(layer, style.LAYERS[each], "two layers include each other")

    def test_a_long_function_is_found_where_it_begins(self):
        body = "  int x = 0;\n" * 68
        for text in ("void f() {\n", "TEST(A, B) {\n", "struct S {\n int f() const {\n",
                     "namespace a {\nvoid f(const char* s = \"}\") {  // }\n"):
            start = SPDX + text
            self.assertEqual(rules("pool/a.cc", start + body + "}\n"), [], text)
            self.assertEqual(rules("pool/a.cc", start + body + "\n}\n"),
                             [(start.count("\n"), "function length")], text)

    def test_a_long_class_or_table_is_no_function(self):
        body = "  int x;\n" * 100
        self.assertEqual(rules("pool/a.h", SPDX + "class C {\n" + body + "};\n"), [])
        self.assertEqual(rules("pool/a.cc", SPDX + "int t[] = {\n" + "1,\n" * 100 + "};\n"), [])

    def test_long_python_functions_are_found(self):
        text = "# SPDX-License-Identifier: Apache-2.0\ndef f():\n" + "    pass\n" * 70
        self.assertEqual(rules("tests/a.py", text), [(2, "function length")])

    def test_long_files_and_lines_are_found(self):
        self.assertEqual(rules("pool/a.cc", SPDX + "int x;\n" * 400), [(401, "file length")])
        self.assertEqual(rules("pool/a.cc", SPDX + "int x;\n" * 399), [])
        self.assertEqual(rules("pool/a.cc", SPDX + "/" * 101), [(2, "line length")])

    def test_the_licence_comes_first(self):
        self.assertEqual(rules("pool/a.cc", "int x;\n"), [(1, "licence")])
        self.assertEqual(rules("a.sh", "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n"), [])
        self.assertEqual(rules("a.sh", "#!/bin/sh\n"), [(2, "licence")])

    def test_unfinished_work_is_found(self):
        self.assertEqual(rules("pool/a.cc", SPDX + "// FIXME\n"), [(2, "unfinished")])
        self.assertEqual(rules("pool/a.cc", SPDX + "// TODO: later\n"), [(2, "unfinished")])
        self.assertEqual(rules("pool/a.cc", SPDX + "// TODO(perf): one set\n"), [])
        self.assertEqual(rules("pool/a.cc", SPDX + 'mkstemp("aXXXXXX");\n'), [])

    def test_libraries_do_not_print(self):
        self.assertEqual(rules("sandbox/a.cc", SPDX + 'printf("x");\n'), [(2, "printing")])
        self.assertEqual(rules("daemon/a.cc", SPDX + "std::cerr << 1;\n"), [(2, "printing")])
        self.assertEqual(rules("daemon/a.cc", SPDX + "snprintf(b, n, s);\n"), [])
        self.assertEqual(rules("cli/a.cc", SPDX + 'printf("x");\n'), [])

    def test_vague_names_are_found(self):
        self.assertEqual(rules("pool/a.h", SPDX + "class PoolManager {\n};\n"), [(2, "vague name")])


    def test_the_documents_name_what_is_there(self):
        with tempfile.TemporaryDirectory() as root:
            for folder in ("cli/doctor", "tests/vm"):
                os.makedirs(os.path.join(root, folder))
            for path, text in (
                    ("cli/doctor/a.cc", 'ok("swap", "off")'), ("tests/vm/a.py", ""),
                    ("THREAT_MODEL.md", "| a | b | `vm/a.py`, `vm/b.py`, `./check`; `see` |\n"),
                    ("SECURITY.md", "| a | `x` | `swap`, `clock`, `sw …` |\n")):
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            found = [(each.path, each.message) for each in style.check_documents(root)]
        self.assertEqual(found, [("THREAT_MODEL.md", "tests/vm/b.py"),
                                 ("SECURITY.md", "hearth doctor has no 'clock'")])


if __name__ == "__main__":
    unittest.main()
