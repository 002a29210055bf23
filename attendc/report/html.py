"""One self-contained page from a template: no script, style, font or picture comes from anywhere else.

The Content-Security-Policy names the hashes of the one script and the one style sheet, and forbids everything else,
so that a label which looks like a script would not run even if it were not escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

__all__ = ["fill"]


def fill(template: str, facts: Mapping[str, Any]) -> str:
    """Return the page; what is no Markup is escaped, and a name that is missing is a bug.

    Args:
        template: a file of attendc/report/templates.
        facts: what the template asks for, `attendc` (version) and `title` among them.
    """
    environment = Environment(
        loader=PackageLoader("attendc.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (_source(environment, name) for name in ("style.css", "page.js"))
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    page = environment.get_template(template)
    return page.render(**facts, style=Markup(style), script=Markup(script), policy=policy) + "\n"


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0].strip()


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
