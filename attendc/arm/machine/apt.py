"""Debian's packages, by an apt that has its files in a folder of its own: no root, and the host stays as it is.

What the lists say is Debian's: apt checks their signatures with the archive's keyring, and each package by the lists.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from attendc.arm.machine.host import KEYRING
from attendc.arm.machine.lock import Kind, Package
from attendc.context import Advance
from attendc.errors import UsageError

__all__ = ["Apt"]

_ARCHITECTURES: dict[Kind, str] = {"deb": "arm64", "emulator": "amd64"}
_ARCHIVES = (("debian", ""), ("debian", "-updates"), ("debian-security", "-security"))
_URI = re.compile(r"'[^']*' (?P<file>\S+) \d+ SHA256:(?P<sha256>[0-9a-f]{64})")
_TAIL = 300


class Apt:
    """An apt for the architecture of a kind of packages, in `folder`."""

    def __init__(self, folder: Path, suite: str, kind: Kind) -> None:
        """Write what it needs to know; nothing is fetched yet."""
        architecture = _ARCHITECTURES[kind]
        for name in ("lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()
        (folder / "sources.list").write_text(
            "".join(
                f"deb [arch={architecture} signed-by={KEYRING}] http://deb.debian.org/{archive} {suite}{part} main\n"
                for archive, part in _ARCHIVES
            ),
            encoding="utf-8",
        )
        options = {
            "Dir::State": folder,
            "Dir::State::lists": folder / "lists",
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder / "cache",
            "Dir::Etc::sourcelist": folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "APT::Architecture": architecture,
            "APT::Architectures": architecture,
            "APT::Sandbox::User": "root",
            "APT::Update::Error-Mode": "any",
            "APT::Get::AllowUnauthenticated": "false",
            "Acquire::AllowInsecureRepositories": "false",
            "Acquire::Languages": "none",
            "Acquire::GzipIndexes": "true",
            "Acquire::PDiffs": "false",
        }
        self._command = ["apt-get", "-q", *(word for k, v in options.items() for word in ("-o", f"{k}={v}"))]
        self._folder, self._kind = folder, kind

    def update(self) -> None:
        """Fetch the lists, 9 MB.

        Raises:
            UsageError: with what apt said.
        """
        self._run("update", what="fetch Debian's lists")

    def choose(self, pins: Sequence[Package]) -> list[Package]:
        """Return each package as the archive has it: of the pinned version if that is there, else of its newest.

        Raises:
            UsageError: if the archive has none, or calls another file by the pinned version.
        """
        newest = self.newest([p.name for p in pins])
        return [self._pinned_or(newest[p.name], p) for p in pins]

    def newest(self, names: Sequence[str]) -> dict[str, Package]:
        """Return name -> the package as the archive has it now, with the hash that its lists tell.

        Raises:
            UsageError: if it has none of that name.
        """
        said = self._run("download", "--print-uris", *names, what=f"find {', '.join(names)} in Debian's archive")
        return {p.name: p for p in map(self._package, _URI.finditer(said))}

    def _pinned_or(self, newest: Package, pin: Package) -> Package:
        found = newest if newest.version == pin.version else self._of_version(pin)
        if found is None:
            return newest
        if found != pin:
            raise UsageError(
                f"Debian's {pin.file} has the sha256 {found.sha256}, attendc knows it as {pin.sha256}",
                hint="Do not use it; report it",
            )
        return pin

    def _of_version(self, pin: Package) -> Package | None:
        command = [*self._command, "download", "--print-uris", f"{pin.name}={pin.version}"]
        done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, check=False)
        match = _URI.search(done.stdout)
        return self._package(match) if done.returncode == 0 and match else None

    def download(self, packages: Sequence[Package], folder: Path, advance: Advance) -> None:
        """Put the packages into `folder`.

        Raises:
            UsageError: with what apt said.
        """
        wanted = [f"{p.name}={p.version}" for p in packages]
        self._run("download", *wanted, what="download Debian's packages", cwd=folder, advance=advance)

    def _run(self, *words: str, what: str, cwd: Path | None = None, advance: Advance | None = None) -> str:
        lines = []
        with subprocess.Popen(
            [*self._command, *words],
            cwd=cwd or self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None  # it is a pipe
            for line in process.stdout:
                lines.append(line)
                if advance is not None and line.startswith("Get:"):
                    advance(1, line.split()[4])
        if process.returncode != 0:
            errors = " ".join(line.strip() for line in lines if line.startswith(("E:", "Err:", "W:"))) or "".join(lines)
            raise UsageError(f"apt-get could not {what}: {errors[-_TAIL:]}", hint="Try again, or use --offline DIR")
        return "".join(lines)

    def _package(self, match: re.Match[str]) -> Package:
        name, version, _ = match["file"].rsplit("_", 2)
        return Package(self._kind, name, version.replace("%3a", ":"), match["file"], match["sha256"])
