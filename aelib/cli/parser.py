"""Typed functions as a command line, with a hint for what was mistyped."""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import yaml
from jsonargparse import ArgumentParser, auto_cli

from ..errors import unknown

Verb = Callable[..., None]
CONFIG_BYTES, CONFIG_DEPTH = 2**20, 20  # nobody has that many options, or lists in lists


class _Parser(ArgumentParser):
    """jsonargparse's, with dashes in options and errors that say what to type instead."""

    def add_argument(self, *names: Any, **keywords: Any) -> Any:
        if len(names) == 1 and "_" in names[0] and names[0].startswith("--") and names[0] != "--print_config":
            names = (names[0].replace("_", "-"), names[0])
            keywords.setdefault("dest", names[1][2:])
        return super().add_argument(*names, **keywords)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        parser = getattr(ex, "subcommand_parser", None) or self
        known = [o for a in parser._actions for o in a.option_strings]
        name = parser.prog.replace(" [options]", "")
        print(f"{name}: {_explained(message, known)}\nSee: {name} --help", file=sys.stderr)
        sys.exit(2)


def _explained(message: str, options: Sequence[str]) -> str:
    """The parser's message in the words of the one who typed."""
    if found := re.search(r"unrecognized arguments: (\S+)", message):
        word = found[1].split("=")[0]
        return unknown("option", word, (o for o in options if "_" not in o)) if word[0] == "-" else message
    if found := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message):
        return unknown("verb", found[1], re.findall(r"[\w-]+", found[2]))
    if found := re.search(r'"(\w+)":\s+Expected a typing.Literal\[(.*)\]. Got value: (.*)', message):
        return unknown(found[1], found[3], re.findall(r"'([^']*)'", found[2]))
    if found := re.search(r"does not accept option '(.*)'", message):
        return unknown("option", found[1], (o[2:].replace("-", "_") for o in options if "_" not in o))
    if found := re.search(r"are required: \w+\.(.*)", message):
        return f"{found[1].upper()} is missing"
    return message


def run(verbs: Mapping[str, Verb], about: str, arguments: Sequence[str]) -> None:
    """Call the verb that was asked for, with options from the line, over `--config FILE`, over defaults."""
    for option, after in zip(arguments, [*arguments[1:], ""], strict=False):
        if option == "--config" or option.startswith("--config="):
            _look_at(after if option == "--config" else option.removeprefix("--config="))
    auto_cli(dict(verbs), args=_with_values(verbs, arguments), parser_class=_Parser, prog="aelib",
             description=about, config_help="YAML file with the options of this verb")  # fmt: skip


def _look_at(file: str) -> None:
    """Refuse YAML that would take the parser's memory or its stack; other faults it names itself."""
    if not os.path.isfile(file):
        return
    depth = 0
    try:
        with open(file, encoding="utf-8") as text:
            for token in yaml.scan(text.read(CONFIG_BYTES), yaml.SafeLoader):
                name = type(token).__name__
                depth += ("Start" in name) - ("End" in name)
                if depth > CONFIG_DEPTH or name == "AliasToken":
                    raise ValueError("it nests lists too deeply, or repeats a part by *name")
    except (ValueError, RecursionError, yaml.reader.ReaderError) as e:
        print(f"aelib: {file} is not a file of options: {e}", file=sys.stderr)
        sys.exit(2)
    except yaml.YAMLError:
        return


def _with_values(verbs: Mapping[str, Verb], arguments: Sequence[str]) -> list[str]:
    """`--json` alone means `--json true`; DATA alone `--data DATA`; the last may be many: PHOTOS…."""
    verb = next((verbs[a] for a in arguments if a in verbs), None)
    parameters = list(inspect.signature(verb).parameters.values()) if verb else []
    flags = {"--" + p.name.replace("_", "-") for p in parameters if isinstance(p.default, bool)}
    given: list[str] = []
    for word, after in zip(arguments, [*arguments[1:], ""], strict=False):
        given += [word, "true"] if word in flags and after not in ("true", "false") else [word]
    needed = [p for p in parameters if p.default is p.empty]
    befores = ["", *given]
    words = [i for i, (word, before) in enumerate(zip(given, befores, strict=False))
             if word[:1] != "-" and (before[:2] != "--" or "=" in before)]  # fmt: skip
    more = words[1 + len(needed) :]  # behind the verb and what it must have
    if len(more) == 1 and any(p.name == "data" and p not in needed for p in parameters):
        given[more[0]] = f"--data={given[more[0]]}"
    elif needed and "list" in str(needed[-1].annotation) and len(words) > len(needed):
        many = words[len(needed) :]  # what the last one lists, as one word
        listed = json.dumps([given[i] for i in many], ensure_ascii=False)
        given = [listed if i == many[0] else w for i, w in enumerate(given) if i not in many[1:]]
    return given
