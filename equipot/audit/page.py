"""The page of the audit: its table, and a part for each line that has more to show."""

from collections.abc import Mapping, Sequence

from equipot import html_page
from equipot.audit.run import Line
from equipot.audit.verdict import Verdict


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
    name = html_page.text(title)
    body = f"""<h1>Audit of {name}</h1>
<p class="{word}">{html_page.text(summary(verdicts))}</p>
{html_page.facts(facts)}
<table>
<thead><tr><th>line</th><th>verdict</th><th class="number">value</th><th>limit</th>
<th class="number">s</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
{parts}"""
    return html_page.document(f"Audit of {title}", body)


def summary(verdicts: Sequence[Verdict]) -> str:
    """One sentence: how many lines failed, and which."""
    judged = [own for own in verdicts if own.passed is not None]
    failed = [own.name for own in judged if not own.passed]
    if not failed:
        return f"All {len(judged)} judged lines passed."
    return f"{len(failed)} of {len(judged)} judged lines FAILED: {', '.join(failed)}."


def _row(index: int, line: Line) -> str:
    own = line.verdict
    name = html_page.text(own.name)
    if own.picture or own.detail:
        name = f'<a href="#line{index}">{name}</a>'
    seconds = f"{line.seconds:.1f}" if line.seconds else ""
    return (
        f'<tr><td>{name}<div class="why">{html_page.text(own.sentence)}</div></td>'
        f'<td class="{own.word}">{own.word}</td>'
        f'<td class="number">{html_page.text(own.shown_value)}</td>'
        f'<td class="limit">{html_page.text(own.shown_limit)}</td>'
        f'<td class="number">{seconds}</td></tr>'
    )


def _part(index: int, own: Verdict) -> str:
    picture = html_page.described(own.picture, own.name)
    detail = f"<pre>{html_page.text(own.detail)}</pre>" if own.detail else ""
    note = f'<p class="soft">{html_page.text(own.caption)}</p>' if own.caption else ""
    return (
        f'<section id="line{index}"><h2>{html_page.text(own.name)} '
        f'<span class="{own.word}">{own.word}</span></h2>{picture}{note}{detail}</section>'
    )
