"""Packaging. The wheel carries the top-level `schemas/` and the sample catalog of `data/` inside the package."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+?)"', (ROOT / "catalogd/__init__.py").read_text()).group(1)


class BuildWithData(build_py):
    """Copies the data of the top level into the built package; an editable install reads it where it is."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        for source, target in (("schemas", "schemas"), ("data", "sample/data")):
            shutil.copytree(ROOT / source, Path(self.build_lib) / "catalogd" / target, dirs_exist_ok=True)


setup(
    name="catalogd",
    version=VERSION,
    description="A catalog of container image repositories whose database is a git working tree",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["catalogd", "catalogd.*"]),
    package_data={"catalogd.web": ["static/*"]},
    cmdclass={"build_py": BuildWithData},
    install_requires=[
        "falcon>=4.0",
        "waitress>=3.0.1",
        "GitPython>=3.2.1",
        "jsonschema>=4.21",
        "referencing>=0.31",
        "click>=8.2",
        "SQLAlchemy>=2.0.30",
        "argon2-cffi>=23.1",
        "prometheus-client>=0.20",
        "PyJWT[crypto]>=2.8",
        "cryptography>=42",
        "urllib3>=2.2",
    ],
    extras_require={
        "test": [
            "pytest>=8.0",
            "hypothesis>=6.100",
            "ruff>=0.17",
            "mypy>=2.4",
            "types-jsonschema>=4.26",
            "coverage>=7.10",
            "psycopg[binary]>=3.1",
            "schemathesis>=4.32",
        ],
        "postgresql": ["psycopg[binary]>=3.1"],
    },
    entry_points={"console_scripts": ["catalogd = catalogd.cli:main"]},
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Topic :: Software Development :: Version Control :: Git",
    ],
)
