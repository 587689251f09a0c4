"""Typed functions as a command line, with a hint for what was mistyped."""

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import yaml
from jsonargparse import ActionYesNo, ArgumentParser, auto_cli

from ..errors import unknown

Verb = Callable[..., None]
CONFIG_BYTES, CONFIG_DEPTH = 2**20, 20  # nobody has that many options, or lists in lists
COMMON = {  # arguments of several verbs, where a verb's docstring says nothing else
    "run": "folder of the run, a .safetensors file of weights, or pretrained/NAME",
    "data": "another dataset, or a folder of photos; what the run was trained on by default",
    "labels": "what is known of each photo of DATA: a .csv, .tsv or .parquet, by their names",
    "which": "checkpoint: best (the default), last, or a name",
    "zoom": "each pixel becomes a square of so many; chosen by the picture's size by default",
    "json": "print JSON",
}


class _Parser(ArgumentParser):
    """jsonargparse's, with dashes in options, flags without a value, DATA and PHOTO … without an option,
    and errors that say what to type instead."""

    def add_argument(self, *names: Any, **keywords: Any) -> Any:
        name = names[0]
        if common := COMMON.get(name.lstrip("-")):
            keywords["help"] = keywords.get("help") or common
        kind = getattr(keywords.get("action"), "_typehint", None)
        if isinstance(keywords.get("default"), bool) or kind == bool | None:  # --json and --no-json
            keywords.pop("type", None)
            keywords["action"] = ActionYesNo(no_prefix="no-")
        elif name == "--data":  # evaluate RUN [DATA]
            del keywords["action"]
            names, keywords = ("data",), keywords | {"type": str, "nargs": "?"}
        elif name == "photos":  # reconstruct RUN PHOTO [PHOTO …]
            del keywords["action"]
            keywords |= {"type": str, "nargs": "+"}
        elif len(names) == 1 and "_" in name and name.startswith("--") and name != "--print_config":
            names = (name.replace("_", "-"), name)
            keywords.setdefault("dest", name[2:])
        return super().add_argument(*names, **keywords)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        parser = getattr(ex, "subcommand_parser", None) or self
        known = [o for a in parser._actions for o in a.option_strings]
        name = parser.prog.replace(" [options]", "")
        words = " ".join(a.dest.upper() for a in parser._actions if not a.option_strings)
        hint = f". Words without an option come first, together: {words}" if "unrecognized" in message else ""
        print(f"{name}: {_explained(message, known)}{hint}\nSee: {name} --help", file=sys.stderr)
        sys.exit(2)


def _explained(message: str, options: Sequence[str]) -> str:
    """The parser's message in the words of the one who typed."""
    if found := re.search(r"unrecognized arguments: (-[^\s=]*)", message):
        return unknown("option", found[1], (o for o in options if "_" not in o))
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
            _checked(after if option == "--config" else option.removeprefix("--config="))
    auto_cli(dict(verbs), args=list(arguments), parser_class=_Parser, prog="aelib", description=about,
             config_help="YAML file with the options of this verb")  # fmt: skip


def _checked(file: str) -> None:
    """Refuse YAML that would take the parser's memory or its stack, or gives an option twice."""
    if not os.path.isfile(file):
        return
    depth = 0
    try:
        with open(file, encoding="utf-8") as opened:
            text = opened.read(CONFIG_BYTES)
        for token in yaml.scan(text, yaml.SafeLoader):
            name = type(token).__name__
            depth += ("Start" in name) - ("End" in name)
            if depth > CONFIG_DEPTH or name == "AliasToken":
                raise ValueError("it nests lists too deeply, or repeats a part by *name")
        options = yaml.compose(text, yaml.SafeLoader)
        pairs = options.value if isinstance(options, yaml.MappingNode) else ()
        names = [str(key.value).replace("-", "_") for key, _ in pairs]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"{twice[0]} is given twice")
    except (ValueError, RecursionError, yaml.reader.ReaderError) as e:
        print(f"aelib: {file} is not a file of options: {e}", file=sys.stderr)
        sys.exit(2)
    except yaml.YAMLError:
        return
