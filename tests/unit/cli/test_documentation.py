# SPDX-License-Identifier: Apache-2.0
"""Help, man page and completions say what the program can do."""

import os
import shutil
import subprocess
import unittest

from case import FUNCTIONS, HEARTH, Case
from fake_hearthd import Answer


def commands(help_text):
    """The names below `Subcommands:` of a help text."""
    below = (
        help_text.split("Subcommands:\n")[1].split("\n\n")[0]
        if "Subcommands:\n" in help_text
        else ""
    )
    return [
        line.split()[0] for line in below.splitlines() if line.startswith("  ") and line[2] != " "
    ]


def options(help_text):
    words = {
        word
        for line in help_text.splitlines()
        if line.startswith("  -")
        for word in line.split()[0].split(",")
    }
    return {word for word in words if word.startswith("--")}


class Documentation(Case):
    MAN = os.path.join(os.path.dirname(__file__), "../../../man/hearth.1")

    def all_help(self):
        """(path, help text) of every command."""
        found = [((), self.ok("--help"))]
        for name in commands(found[0][1]):
            found.append(((name,), self.ok(name, "--help")))
            found += [
                ((name, below), self.ok(name, below, "--help")) for below in commands(found[-1][1])
            ]
        return found

    def test_every_command_and_option_is_in_the_man_page(self):
        with open(self.MAN) as file:
            page = file.read()
        found = self.all_help()
        self.assertGreater(len(found), 15)
        for path, text in found:
            if path and not commands(text):
                self.assertIn(".It Cm " + " ".join(path), page)
            for option in options(text):
                self.assertIn("Fl -" + option[2:], page, f"{option} of {path}")

    def test_every_option_and_command_has_help(self):
        for path, text in self.all_help():
            self.assertNotEqual(text.splitlines()[0].strip(), "")
            lines = text.splitlines()
            for i, line in enumerate(lines):
                if line.startswith("  ") and line[2] != " ":
                    follows = lines[i + 1] if i + 1 < len(lines) else ""
                    self.assertTrue(
                        len(line) > 32 and line[32:].strip() or follows.startswith(" " * 20),
                        (path, line),
                    )

    def test_every_command_and_option_is_in_each_completion(self):
        scripts = {shell: self.ok("completions", shell) for shell in ["bash", "zsh", "fish"]}
        for path, text in self.all_help():
            for name in commands(text) + sorted(option[2:] for option in options(text)):
                for shell, script in scripts.items():
                    self.assertIn(name, script, f"{shell}: {name} of {path}")

    def test_the_scripts_are_valid(self):
        for shell in ["bash", "zsh", "fish"]:
            with self.subTest(shell):
                if shutil.which(shell) is None:
                    self.lacks(f"{shell} is not installed")
                script = self.ok("completions", shell).encode()
                checked = subprocess.run([shell, "-n"], input=script, capture_output=True)
                self.assertEqual((checked.returncode, checked.stderr), (0, b""))

    def complete(self, *words):
        """What bash would offer after these words."""
        script = self.ok("completions", "bash") + (
            'compopt() { echo FILES; }\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _hearth\n'
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        env = {
            **os.environ,
            "HEARTH_SOCKET": self.daemon.socket,
            "PATH": os.path.dirname(os.path.abspath(HEARTH)) + ":" + os.environ["PATH"],
        }
        result = subprocess.run(
            ["bash", "-c", script, "bash", "hearth", *words], capture_output=True, env=env
        )
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.decode().split()

    def test_bash_completes_commands_options_and_names(self):
        self.daemon.on("GET", FUNCTIONS, Answer('[{"name":"thumb"},{"name":"markdown"}]'))
        self.daemon.on("GET", "/v1/tenants", Answer('[{"name":"acme"}]'))
        self.assertEqual(self.complete("dep"), ["deploy"])
        self.assertEqual(self.complete("tenant", "c"), ["create"])
        self.assertEqual(self.complete("invoke", "th"), ["thumb"])
        self.assertEqual(self.complete("--tenant", "deploy", "invoke", "--m"), ["--meter"])
        self.assertEqual(self.complete("list", "--tenant", ""), ["acme"])
        self.assertEqual(self.complete("completions", "z"), ["zsh"])
        self.assertEqual(self.complete("deploy", ""), ["FILES"])

    def test_the_man_page_is_clean(self):
        result = subprocess.run(
            ["mandoc", "-T", "lint", "-W", "warning", self.MAN], capture_output=True
        )
        self.assertEqual((result.returncode, result.stdout), (0, b""))


if __name__ == "__main__":
    unittest.main()
