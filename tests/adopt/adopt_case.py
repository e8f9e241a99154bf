"""What every test of adoption starts from: one directory, served by Kafka and by Keelson in turn."""

import pathlib
import shutil
import tempfile
import unittest

from lib import packages
from lib.broker import Broker


class AdoptCase(unittest.TestCase):
    def setUp(self):
        packages.require("Java", "java", "mvn")
        packages.require("kcat", "kcat")
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="keelson-adopt-"))
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        self.data = self.home / "data"

    def kafka(self, **settings):
        """Settings with underscores for dots."""
        return Broker({"transaction.state.log.num.partitions": "2",
                       **{name.replace("_", "."): value for name, value in settings.items()}},
                      data=self.data, kind="kafka")

    def keelson(self, *arguments):
        return Broker(data=self.data, kind="keelson", arguments=arguments)
