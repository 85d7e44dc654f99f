"""The page: one HTML file with everything in it, no script, no link, for light and dark screens."""

import html
from collections.abc import Mapping, Sequence

from equipot.audit.run import Line
from equipot.audit.verdict import Verdict

_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1c1e21; --soft: #62686f;
  --rule: #d9dce0; --good: #12753d; --bad: #b3261e; --plain: #5b6068; --tint: #f5f6f8; }
@media (prefers-color-scheme: dark) { :root { --paper: #16181b; --ink: #e4e6e9; --soft: #9aa1a9;
  --rule: #363a40; --good: #5ec98b; --bad: #ff8a80; --plain: #a3a9b1; --tint: #1f2226; } }
body { background: var(--paper); color: var(--ink); margin: 2rem auto; max-width: 60rem;
  padding: 0 1rem; font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin-bottom: 0.2rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
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


def render(title: str, facts: Mapping[str, str], lines: Sequence[Line]) -> str:
    """Writes the page as text.

    Args:
      title: Name of the potential.
      facts: What was audited and how, in the order to show.
      lines: Of the table.
    """
    verdicts = [line.verdict for line in lines]
    rows = "\n".join(_row(i, line) for i, line in enumerate(lines))
    more = [i for i, own in enumerate(verdicts) if own.picture or own.detail]
    parts = "\n".join(_part(i, verdicts[i]) for i in more)
    word = "FAILED" if any(own.passed is False for own in verdicts) else "passed"
    known = "\n".join(f"<dt>{_text(k)}</dt><dd>{_text(v)}</dd>" for k, v in facts.items())
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Audit of {_text(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Audit of {_text(title)}</h1>
<p class="{word}">{_text(summary(verdicts))}</p>
<dl>{known}</dl>
<table>
<thead><tr><th>line</th><th>verdict</th><th class="number">value</th><th>limit</th>
<th class="number">s</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
{parts}
</body>
</html>
"""


def summary(verdicts: Sequence[Verdict]) -> str:
    """One sentence: how many lines failed, and which."""
    judged = [own for own in verdicts if own.passed is not None]
    failed = [own.name for own in judged if not own.passed]
    if not failed:
        return f"All {len(judged)} judged lines passed."
    return f"{len(failed)} of {len(judged)} judged lines FAILED: {', '.join(failed)}."


def _row(index: int, line: Line) -> str:
    own = line.verdict
    name = _text(own.name)
    if own.picture or own.detail:
        name = f'<a href="#line{index}">{name}</a>'
    seconds = f"{line.seconds:.1f}" if line.seconds else ""
    return (
        f'<tr><td>{name}<div class="why">{_text(own.sentence)}</div></td>'
        f'<td class="{own.word}">{own.word}</td>'
        f'<td class="number">{_text(own.shown_value)}</td>'
        f'<td class="limit">{_text(own.shown_limit)}</td>'
        f'<td class="number">{seconds}</td></tr>'
    )


def _part(index: int, own: Verdict) -> str:
    picture = own.picture.replace("<svg", f'<svg role="img" aria-label="{_text(own.name)}"', 1)
    detail = f"<pre>{_text(own.detail)}</pre>" if own.detail else ""
    note = f'<p class="soft">{_text(own.caption)}</p>' if own.caption else ""
    return (
        f'<section id="line{index}"><h2>{_text(own.name)} '
        f'<span class="{own.word}">{own.word}</span></h2>{picture}{note}{detail}</section>'
    )


def _text(words: str) -> str:
    return html.escape(words)
