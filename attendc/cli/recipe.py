"""`attendc recipe`: look at recipes without running them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from attendc.cli.options import json_option, session_of_recipe
from attendc.cli.run import set_option

__all__ = ["recipe_group"]


@click.group("recipe")
def recipe_group() -> None:
    """Check, show, list and start recipes."""


@recipe_group.command("validate")
@click.argument("recipes", nargs=-1, required=True)
@set_option
@json_option
def validate_command(recipes: tuple[str, ...], sets: tuple[str, ...], as_json: bool) -> None:
    """Check RECIPES: every fault at once, each with its line and what is allowed there."""
    with session_of_recipe({"as_json": as_json}) as (console, _):
        from attendc import RecipeError, load_recipe

        read, refused = [], []
        for recipe in recipes:
            try:
                read.append(load_recipe(recipe, sets))
            except RecipeError as e:
                refused.append(e)
        if refused:
            raise RecipeError([fault for error in refused for fault in error.faults])
        if console.as_json:
            console.json({"valid": [recipe.name for recipe in read]})
            return
        for one in read:
            variants = f"; variants: {', '.join(one.variants)}" if one.variants else ""
            console.result(f"{one.name}: valid; stages: {', '.join(s.step for s in one.stages)}{variants}")


@recipe_group.command("show")
@click.argument("recipe")
@set_option
@click.option("--defaults", is_flag=True, help="Write out what is left at its default too.")
@json_option
def show_command(recipe: str, sets: tuple[str, ...], defaults: bool, as_json: bool) -> None:
    """Print RECIPE as it would run: extended, overridden, with every variable in its place."""
    with session_of_recipe({"as_json": as_json}) as (console, _):
        from attendc import load_recipe, merged_yaml, recipe_to_data

        if console.as_json:
            console.json(recipe_to_data(load_recipe(recipe, sets)))
        else:
            console.result(merged_yaml(recipe, sets, defaults=defaults).rstrip("\n"))


@recipe_group.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the recipes that ship, and the stages that a recipe may have."""
    with session_of_recipe({"as_json": as_json}) as (console, _):
        from attendc import STAGES, shipped_recipes

        recipes = shipped_recipes()
        stages = {name: kind.help for name, kind in STAGES.items()}
        if console.as_json:
            console.json({"recipes": recipes, "stages": stages})
            return
        console.text_table("attendc run NAME", ("recipe", "what it does"), list(recipes.items()))
        console.text_table("stages of a recipe", ("stage", "what it does"), list(stages.items()))


@recipe_group.command("schema")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write.  [default: stdout]")
def schema_command(output: Path | None) -> None:
    """Print the JSON Schema of recipes, for editors.

    In VS Code and others with a YAML language server, this first line of a recipe then checks it as you type:

    \b
    # yaml-language-server: $schema=attendc-recipe.json
    """  # noqa: D301 - \b is for click: keep these lines
    with session_of_recipe({}) as (console, _):
        from attendc import recipe_schema
        from attendc.files import replace_file

        text = json.dumps(recipe_schema(), indent=2)
        if output is None:
            console.result(text)
            return
        with replace_file(output) as beside:
            beside.write_text(text + "\n", encoding="utf-8")
        console.result(f"{output}: written")


@recipe_group.command("init")
@click.argument("output", type=click.Path(path_type=Path), default="recipe.yaml")
@click.option("--checkpoint", default="", help="Checkpoint to start from.  [default: the shipped example]")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@json_option
def init_command(output: Path, checkpoint: str, force: bool, as_json: bool) -> None:
    """Write a commented recipe to OUTPUT (recipe.yaml), with every option and what it means."""
    with session_of_recipe({"as_json": as_json}) as (console, _):
        from attendc import recipe_template
        from attendc.errors import OutputError
        from attendc.files import check_writable, replace_file

        check_writable(output)
        if output.exists() and not force:
            raise OutputError(f"{output} exists already", hint="Add --force to replace it, or give another name")
        given: dict[str, Any] = {"checkpoint": checkpoint} if checkpoint else {}
        with replace_file(output) as beside:
            beside.write_text(recipe_template(**given), encoding="utf-8")
        if console.as_json:
            console.json({"written": str(output)})
        else:
            console.result(f"{output}: written. Now: attendc run {output}")
