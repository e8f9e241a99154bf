"""Schemas with mistakes are refused, with the line of the mistake."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, sys.argv.pop(1))
from schema import SchemaError, parse  # noqa: E402

HEAD = "message Sample\nversions 0-4\nflexible 2+\nfields\n"


class SchemaTest(unittest.TestCase):
    def parse(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "sample.schema"
            path.write_text(text, encoding="utf-8")
            return parse(path)

    def refused(self, fields, message, line):
        with self.assertRaisesRegex(SchemaError, f"sample.schema:{line}: .*{message}"):
            self.parse(HEAD + fields)

    def test_fields_and_structs(self):
        message = self.parse(HEAD + "  a []One 1+\n    b Two? = null\n      c int8 3\n").messages[0]
        self.assertEqual([s.name for s in message.structs], ["Two", "One"])
        self.assertEqual(message.root.fields[0].versions.first, 1)
        self.assertEqual(message.struct("Two").fields[0].versions.last, 3)

    def test_names_of_generated_locals(self):
        self.refused("  version int8\n", "choose another name", 5)

    def test_unknown_type(self):
        with self.assertRaisesRegex(SchemaError, "unknown type One"):
            self.parse(HEAD + "  a []One\n")

    def test_unknown_word(self):
        self.refused("  a int8\n  b int8 ignorabel\n", "unknown word ignorabel", 6)

    def test_null_default_of_what_is_never_null(self):
        self.refused("  a string = null\n", "null by default", 5)

    def test_nullable_integer(self):
        self.refused("  a int8?\n", "cannot be null", 5)

    def test_fields_under_a_scalar(self):
        self.refused("  a int8\n    b int8\n", "is no struct", 6)

    def test_unused_struct(self):
        with self.assertRaisesRegex(SchemaError, "not used"):
            self.parse(HEAD + "  a int8\n  struct One\n    b int8\n")

    def test_struct_in_itself(self):
        with self.assertRaisesRegex(SchemaError, "contains itself"):
            self.parse(HEAD + "  a []One\n  struct One\n    b []One\n")


unittest.main()
