"""The page of a run as HTML, from its contents."""

from collections.abc import Sequence

from equipot import html_page
from equipot.training.run_page import panels, tables
from equipot.training.run_page.contents import Contents

_STYLE = """
body { max-width: 75rem; }
h3 { font-size: 1rem; font-weight: 600; margin: 1.2rem 0 0.2rem; }
.wide { overflow-x: auto; } .wide table { width: auto; min-width: 60%; }
.wide td { overflow-wrap: anywhere; min-width: 4rem; }
.panels { display: flex; flex-wrap: wrap; gap: 0.4rem 1rem; align-items: flex-start; }
figure { margin: 0; } figure svg { margin: 0.3rem 0; }
figcaption { color: var(--soft); font-size: 0.82rem; line-height: 1.35; max-width: 17rem;
  overflow-wrap: anywhere; } figcaption b { color: var(--ink); }
svg image[id^="cells"] { image-rendering: pixelated; }
.element { margin-right: 1.1em; white-space: nowrap; } .element i { display: inline-block;
  width: 0.75em; height: 0.75em; border-radius: 50%; margin-right: 0.35em;
  border: 1px solid var(--rule); }
.atoms { width: 12.4rem; } .atoms circle { stroke: var(--plain); stroke-width: 0.05; }
.atoms .bond { stroke: #8a8f96; stroke-width: 0.22; } .atoms .cell { stroke: var(--soft);
  stroke-width: 0.06; } .atoms .mark { fill: none; stroke: #b04fc4; stroke-width: 0.18; }
.atoms text { text-anchor: middle; dominant-baseline: central; }
.wrapped { white-space: pre-wrap; overflow-wrap: anywhere; }
@media (max-width: 36rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: 0.3rem; }
  .atoms { width: 10rem; } figcaption { max-width: 10rem; } .panels > figure > figcaption {
  max-width: none; } .atoms + figcaption { width: 10rem; } }
"""


def render(contents: Contents) -> str:
    """Writes the page as text; the longer half only where the errors are known."""
    parts = [
        f"<h1>{html_page.text(contents.name)}</h1>",
        f"<p>{html_page.text(contents.state)}</p>",
        html_page.facts(contents.facts),
        f"<pre>{html_page.text(chr(10).join(contents.commands))}</pre>",
        tables.errors(contents) if contents.errors else tables.validations(contents),
        panels.learning_curves(contents),
    ]
    if contents.errors:
        parts += [
            panels.predictions(contents),
            tables.elements(contents),
            tables.groups(contents),
            panels.worst_structures(contents),
        ]
    parts += [
        "<h2>Settings other than the defaults</h2>",
        html_page.table(("key", "value", "default"), contents.settings),
        _listed("Data", contents.data),
        _listed("Said at the start", contents.notes),
        "<h2>Versions</h2>",
        html_page.facts(contents.versions),
    ]
    body = "\n".join(part for part in parts if part)
    return html_page.document(f"{contents.name}: {contents.state}", body, _STYLE)


def _listed(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    text = html_page.text("\n".join(lines))
    return f'<h2>{html_page.text(title)}</h2><pre class="wrapped">{text}</pre>'
