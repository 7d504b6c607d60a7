"""Packages from their registries: downloaded once into a cache, verified, unpacked.

Uses the registries' own clients (`npm pack`, `pip download`, `apt-get download`), so mirrors and
proxies that are set up for them apply. Nothing of a package is executed.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from guidegen.errors import DataError
from guidegen.training.data.sources import Package

_CLIENTS = {
    "npm": "install Node.js, which brings npm",
    "apt": "it is part of Debian and Ubuntu; elsewhere put the .deb into the cache by hand",
    "pip": "python -m ensurepip",
}


def default_cache() -> Path:
    """Folder for downloads: `guidegen/packages` under the user's cache folder."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("guidegen")) / "packages"


def unpacked(package: Package, cache: Path) -> Path:
    """Folder with the package's files; downloads and verifies what is not in `cache` yet.

    Raises:
        DataError: the client is missing, the download failed, or the file has another sha256.
    """
    folder = (
        cache / "unpacked" / f"{package.name.strip('@').replace('/', '-')}-{package.sha256[:8]}"
    )
    if folder.is_dir():
        return folder
    archive = _archive(package, cache)
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    _extract(archive, part)
    try:
        part.rename(folder)  # whole or absent: a kill while unpacking leaves only a .part
    except OSError:  # another process was first
        shutil.rmtree(part, ignore_errors=True)
    return folder


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _archive(package: Package, cache: Path) -> Path:
    """The package's file in the cache, found by digest: clients differ in how they name it."""
    cache.mkdir(parents=True, exist_ok=True)
    stem = package.name.strip("@").replace("/", "-")
    for path in sorted(cache.glob(f"{stem}*")):
        if path.is_file() and sha256_of(path) == package.sha256:
            return path
    with tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as folder:
        _download(package, Path(folder))
        files = [path for path in Path(folder).iterdir() if path.is_file()]
        if len(files) != 1:
            raise DataError(
                f"{package.name}: {package.registry} brought {len(files)} files, not one"
            )
        if (digest := sha256_of(files[0])) != package.sha256:
            raise DataError(
                f"{package.name} {package.version}: sha256 is {digest[:12]}…, expected "
                f"{package.sha256[:12]}…; it is not the file that this version was made with"
            )
        target = cache / files[0].name
        files[0].replace(target)
    return target


def _download(package: Package, folder: Path) -> None:
    name, version = package.name, package.version
    match package.registry:
        case "npm":
            command = ["npm", "pack", "--loglevel=error", "--ignore-scripts", f"{name}@{version}"]
        case "apt":
            # apt would drop its rights to a user who can't enter this folder, and warn about it
            command = ["apt-get", "-o", "APT::Sandbox::User=root", "download", f"{name}={version}"]
        case "pip":
            command = [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--no-deps",
                "-q",
                f"{name}=={version}",
            ]
    if shutil.which(command[0]) is None:
        hint = _CLIENTS[package.registry]
        raise DataError(
            f"{name} comes from {package.registry}, but {command[0]} is missing; {hint}"
        )
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        # npm says the reason second, below an error code, and ends with the place of its log
        reason = lines[1] if package.registry == "npm" and len(lines) > 1 else lines[-1]
        hint = "; try apt-get update first" if package.registry == "apt" else ""
        raise DataError(f"{' '.join(command)} failed: {reason}{hint}")


def _extract(archive: Path, folder: Path) -> None:
    try:
        if archive.name.endswith(".deb"):
            with tarfile.open(fileobj=io.BytesIO(_deb_data(archive))) as tar:
                tar.extractall(folder, filter="data")
        elif archive.name.endswith((".whl", ".zip")):
            with zipfile.ZipFile(archive) as file:
                file.extractall(folder)
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
    except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise DataError(f"{archive}: can't be unpacked ({error})") from error


def _deb_data(path: Path) -> bytes:
    """The `data.tar.*` member of a Debian package, which is an `ar` archive."""
    data = path.read_bytes()
    if not data.startswith(b"!<arch>\n"):
        raise DataError(f"{path}: not a Debian package")
    at = 8
    while at + 60 <= len(data):
        name, size = data[at : at + 16].strip(), int(data[at + 48 : at + 58])
        if name.startswith(b"data.tar"):
            return data[at + 60 : at + 60 + size]
        at += 60 + size + size % 2  # members start at even offsets
    raise DataError(f"{path}: no data.tar in it")
