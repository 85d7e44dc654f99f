"""The contracts of models in equipot, asked of this potential with its own parameters."""

from collections.abc import Mapping

from equipot import testing
from equipot.audit.audited import Audited
from equipot.audit.samples import Samples
from equipot.audit.verdict import Verdict

QUICK = {
    "translation": "Nothing changes when all atoms move together, or one by a lattice vector.",
    "momentum": "Forces sum to zero.",
    "charge": "Charges add up to the charge of the structure.",
    "separation": "Two clusters far apart do not feel each other.",
    "order_of_pairs": "Pairs may come in any order and direction.",
    "batching": "A structure in a batch is predicted as it is alone.",
    "finite": "Two atoms at 0.1 Å, and an atom alone, have finite predictions.",
}
"""Contracts that take little time to compile."""

DEAR = {
    "padding": "Padding of a batch changes nothing.",
    "directed_edges": "Directed edges, which LAMMPS sends, give the same numbers.",
    "domains": "Split into domains, as LAMMPS does, a structure has the same energy and forces.",
    "gradients_within_graphs": "No structure of a batch feels another.",
    "jit": "Compiled and run operation by operation, the numbers are the same.",
    "parameter_gradients": "Gradients of a loss are finite, so that it can be trained further.",
}
"""Contracts that take a program each."""


def check(audited: Audited, samples: Samples, *, quick: bool) -> list[Verdict]:
    """One line for each contract that no other line covers with structures of its own."""
    names = QUICK if quick else QUICK | DEAR
    if not any(quantity.sums_to_charge for quantity in audited.subject.quantities):
        names = {name: words for name, words in names.items() if name != "charge"}
    return ask(audited.subject, names)


def ask(subject: testing.Subject, names: Mapping[str, str]) -> list[Verdict]:
    """One line for each of some contracts.

    Args:
      subject: What they are asked of.
      names: Of contracts, with what each says.
    """
    lines = []
    for name, words in names.items():
        try:
            testing.CONTRACTS[name](subject)
            lines.append(_line(name, True, words))
        except AssertionError as error:
            lines.append(_line(name, False, f"{words} Not so: {error}."))
    return lines


def _line(name: str, passed: bool, sentence: str) -> Verdict:
    return Verdict(name=name.replace("_", " "), passed=passed, sentence=sentence)
