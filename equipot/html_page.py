"""Pages of HTML: one file with everything in it, no script, no link, for light and dark screens."""

import html
from collections.abc import Iterable, Mapping, Sequence

_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1c1e21; --soft: #62686f;
  --rule: #d9dce0; --good: #12753d; --bad: #b3261e; --plain: #5b6068; --tint: #f5f6f8; }
@media (prefers-color-scheme: dark) { :root { --paper: #16181b; --ink: #e4e6e9; --soft: #9aa1a9;
  --rule: #363a40; --good: #5ec98b; --bad: #ff8a80; --plain: #a3a9b1; --tint: #1f2226; } }
body { background: var(--paper); color: var(--ink); margin: 2rem auto; max-width: 60rem;
  padding: 0 1rem; font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin-bottom: 0.2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin-top: 2.2rem; }
p { max-width: 46rem; } .soft, .why { color: var(--soft); }
.why { font-size: 0.86rem; line-height: 1.35; max-width: 34rem; overflow-wrap: anywhere; }
.limit { white-space: nowrap; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.3rem 0.7rem 0.3rem 0; border-bottom: 1px solid var(--rule);
  vertical-align: baseline; } th { color: var(--soft); font-weight: 500; }
td.number, th.number { text-align: right; white-space: nowrap; }
td a { color: inherit; text-decoration-color: var(--rule); }
.passed { color: var(--good); } .FAILED { color: var(--bad); font-weight: 700; }
.shown { color: var(--plain); } dl { display: grid; grid-template-columns: max-content 1fr;
  gap: 0.1rem 1rem; } dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
svg { max-width: 100%; height: auto; display: block; margin: 0.8rem 0; }
pre { background: var(--tint); padding: 0.8rem; overflow-x: auto; font-size: 12.5px;
  line-height: 1.4; border-radius: 4px; }
"""


def document(title: str, body: str, style: str = "") -> str:
    """A whole page.

    Args:
      title: In the bar of the window, as text.
      body: HTML.
      style: More CSS.
    """
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(title)}</title>
<style>{_STYLE}{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def text(words: str) -> str:
    """Words as HTML that shows them."""
    return html.escape(words)


def facts(known: Mapping[str, str]) -> str:
    """A list of names and what they stand for.

    Args:
      known: In the order to show, as text.
    """
    rows = "\n".join(
        f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in known.items()
    )
    return f"<dl>{rows}</dl>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> str:
    """A table that scrolls by itself where the screen is narrower.

    Args:
      heads: Of the columns, as text.
      rows: Cells, as text.
      numbers: How many of the last columns hold numbers, which stand at the right.
    """
    first = len(heads) - numbers
    kinds = ["" if i < first else ' class="number"' for i in range(len(heads))]

    def row(tag: str, cells: Sequence[str]) -> str:
        made = (f"<{tag}{k}>{text(c)}</{tag}>" for k, c in zip(kinds, cells, strict=True))
        return f"<tr>{''.join(made)}</tr>"

    body = "\n".join(row("td", cells) for cells in rows)
    return (
        f'<div class="wide"><table>\n<thead>{row("th", heads)}</thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def described(svg: str, words: str) -> str:
    """A picture with words for who cannot see it.

    Args:
      svg: The picture.
      words: What it shows, as text.
    """
    return svg.replace("<svg", f'<svg role="img" aria-label="{text(words)}"', 1)
