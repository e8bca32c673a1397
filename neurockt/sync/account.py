"""The server and the API key, from the places where W&B's own tools look, without importing them.

The key is only kept in memory.
"""

from __future__ import annotations

import configparser
import netrc
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from neurockt.errors import SyncFailed

DEFAULT_URL: Final = "https://api.wandb.ai"
CLOUD_HOSTS: Final = ("api.wandb.ai", "api.forge.coreweave.com")
"""Names of the public service: a key for one is valid for all."""


@dataclass(frozen=True)
class Account:
    url: str
    key: str = field(repr=False)
    entity: str | None = None
    project: str | None = None

    @property
    def app_url(self) -> str:
        return self.url.replace("://api.", "://", 1)


def find_account(*, with_key: bool = True) -> Account:
    """The server and key that W&B's own tools would use; ``SyncFailed`` where there is no key or no valid address.

    Without ``with_key`` the key is empty.
    """
    settings = _settings()
    url = (os.environ.get("WANDB_BASE_URL") or settings.get("base_url") or DEFAULT_URL).rstrip("/")
    try:
        parts = urlsplit(url)
        host, is_url = parts.hostname, parts.scheme in ("http", "https")
        _ = parts.port
    except ValueError:
        host, is_url = None, False
    if not host or not is_url or parts.username or parts.password:
        raise SyncFailed(
            "WANDB_BASE_URL is not the address of a server; write https://HOST or http://HOST:PORT, without a password"
        )
    key = (os.environ.get("WANDB_API_KEY") or _netrc_key(parts.netloc) or "").strip() if with_key else ""
    if with_key and not key:
        raise SyncFailed(
            f"no API key for {host}: run 'wandb login' once on this machine, or set WANDB_API_KEY; "
            "the key is on your W&B settings page"
        )
    if not (key.isascii() and key.isprintable()):
        raise SyncFailed("the API key has characters that no key has; copy it again into WANDB_API_KEY")
    return Account(
        url,
        key,
        os.environ.get("WANDB_ENTITY") or settings.get("entity"),
        os.environ.get("WANDB_PROJECT") or settings.get("project"),
    )


def _settings() -> dict[str, str]:
    """What ``wandb login`` and ``wandb init`` wrote; the file in the working directory counts more."""
    directory = os.environ.get("WANDB_CONFIG_DIR")
    home = Path(directory or os.path.expanduser("~/.config/wandb"))
    found: dict[str, str] = {}
    for path in (home / "settings", Path("wandb") / "settings"):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(path.read_text(encoding="utf-8"))
            found.update(parser["default"] if parser.has_section("default") else {})
        except (OSError, UnicodeDecodeError, configparser.Error):
            continue
    return found


def _netrc_key(netloc: str) -> str | None:
    names = [os.environ["NETRC"]] if os.environ.get("NETRC") else ["~/.netrc", "~/_netrc"]
    hosts = CLOUD_HOSTS if netloc in CLOUD_HOSTS else (netloc, netloc.partition(":")[0])
    for name in names:
        try:
            entries = netrc.netrc(os.path.expanduser(name))
        except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
            continue
        for host in hosts:
            entry = entries.hosts.get(host)
            if entry and entry[2]:
                return entry[2]
    return None
