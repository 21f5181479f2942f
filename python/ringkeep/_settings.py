"""Arguments into the JSON that the native module takes: names and errors are those of the settings file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from .errors import InvalidArgument, IoError



def node_settings(arguments: dict[str, Any], defaults: Mapping[str, Any] | None) -> tuple[str | None, str]:
    """The path and the settings of `open`: arguments that differ from their defaults go before `config`."""
    arguments, unsaid = dict(arguments), defaults or {}
    path = arguments.pop("path")
    config = arguments.pop("config")
    others = arguments.pop("settings")
    settings = _from_config(config)
    for name, value in arguments.items():
        if value != unsaid.get(name):
            settings[name] = value
    settings |= others
    if settings.pop("tls", None) is not None:
        raise InvalidArgument("tls: not in this version")
    for name, value in settings.items():
        if isinstance(value, os.PathLike | bytes):
            settings[name] = os.fsdecode(value)
    if isinstance(settings.get("seeds"), str):
        settings["seeds"] = [settings["seeds"]]
    return None if path is None else _path(path), to_json(settings)


def _path(path: Any) -> str:
    try:
        return os.fsdecode(path)
    except TypeError as error:
        raise InvalidArgument(f"path is {type(path).__name__}, not a path") from error


def _from_config(config: Mapping[str, Any] | str | os.PathLike[str] | None) -> dict[str, Any]:
    if config is None:
        return {}
    if isinstance(config, Mapping):
        return dict(config)
    import tomllib

    try:
        with open(config, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise IoError(f"config {os.fspath(config)}: {error.strerror}") from error
    except ValueError as error:
        raise InvalidArgument(f"config {os.fspath(config)}: {error}") from error
    except TypeError as error:
        raise InvalidArgument(f"config is {type(config).__name__}, not a mapping or a path") from error


def uris(uri: str | Sequence[str]) -> list[str]:
    """The connection strings of `connect`."""
    return [uri] if isinstance(uri, str) else list(uri)


def milliseconds(name: str, seconds: float | timedelta | None) -> int | None:
    """Whole milliseconds, rounded up."""
    if seconds is None:
        return None
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e12:
        raise InvalidArgument(f"{name}={seconds!r} is not a number of seconds")
    return -int(-seconds * 1000 // 1)


def to_json(value: Any) -> str:
    """JSON, or an InvalidArgument that says what is not."""
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(str(error)) from error
