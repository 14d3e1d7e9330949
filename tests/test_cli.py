"""The command line: the commands and options that other teams use, each with a help text."""

from __future__ import annotations

import pytest
import typer

from flink_app.cli import app

INTERFACE = {  # DESIGN: commands and options that stay
    "local up": {"--aws"},
    "local down": set(),
    "local status": set(),
    "generate": {
        *("--events", "--customers", "--rate", "--seed", "--to", "--properties"),
        *("--duplicates", "--late", "--too-late", "--malformed", "--future"),
    },
    "run": {"--properties", "--until-idle", "--parallelism", "--savepoint"},
    "check": {"--properties", "--parallelism", "--against"},
    "show": {"--feature-set", "--properties"},
    "trace": {"--customer", "--since", "--until", "--properties"},
    "package": {"--to"},
    "plan": {"--rate", "--customers", "--event-bytes", "--late", "--late-by", "--largest", "--buckets"},
    "deploy": {"--name", "--region", "--set", "--yes", "--dry-run"},
    "status": {"--name", "--region"},
    "update": {"--name", "--region", "--restore", "--set", "--yes", "--dry-run"},
    "rollback": {"--name", "--region", "--restore", "--yes", "--dry-run"},
    "destroy": {"--name", "--region", "--with-data", "--yes", "--dry-run"},
    "doctor": {"--application", "--url", "--region", "--minutes", "--seconds"},
}


def found(name):
    command = typer.main.get_command(app)
    for word in name.split():
        command = command.commands[word]
    return command


def options(command):
    return {name: option for option in command.params for name in option.opts if option.param_type_name == "option"}


@pytest.mark.parametrize("name", INTERFACE)
def test_every_command_of_the_interface_has_its_options(name):
    assert options(found(name)).keys() >= INTERFACE[name]


def test_no_command_is_missing_from_the_interface():
    command = typer.main.get_command(app)
    names = {name for name in command.commands if name != "local"}
    names |= {f"local {name}" for name in command.commands["local"].commands}
    assert names == set(INTERFACE)


@pytest.mark.parametrize("name", INTERFACE)
def test_every_command_and_option_says_what_it_is_for(name):
    command = found(name)
    assert command.help
    for option in command.params:
        if option.name == "help":
            continue
        assert option.help.endswith("."), option
        stated = option.required or (option.show_default and option.default is not None) or "Without it" in option.help
        assert stated, f"{option.opts}: the help says no default"


def test_customers_are_named_in_front_of_the_options():
    (customer,) = (param for param in found("show").params if param.param_type_name == "argument")
    assert customer.required
