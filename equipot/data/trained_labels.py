"""Whether data hold the labels that the loss weighs, and which labels it does not."""

from collections.abc import Mapping

from equipot import errors
from equipot.data import columns
from equipot.data import dataset as data_dataset
from equipot.quantities import DERIVED


def check(dataset: data_dataset.Dataset, loss_terms: Mapping[str, float]) -> None:
    """Stops where the loss weighs a quantity without labels.

    Of stress it is enough that training has it: molecules may validate what crystals teach, too. A
    validation split without any frame is none.

    Args:
      dataset: All splits.
      loss_terms: Weight in the loss of each quantity, by name.

    Raises:
      DataError: With what the files hold.
      ConfigError: If a term is no quantity of the dataset.
    """
    known = dataset.quantities
    for term, weight in loss_terms.items():
        if term not in known:
            raise errors.ConfigError(f"loss: unknown term '{term}'. Known: {', '.join(known)}")
        for name in ("train", "valid"):
            part = dataset.splits[name]
            if not weight or (term, name) == ("stress", "valid") or not part:
                continue
            if not columns.any_labelled(part, term):
                key = f"{term}_key" if term in DERIVED else f"quantities.{term}.key"
                raise errors.DataError(
                    f"the loss weighs {term} by {weight:g}, but none of the {len(part)} frames of "
                    f"the {name} split has a label for it ({'; '.join(dataset.found)}). Set "
                    f"{_setting(term)}=0, or name the label with data.{key}; a weight that comes "
                    "later, of loss.changes or stage_two, counts too"
                )


def not_judged(dataset: data_dataset.Dataset, loss_terms: Mapping[str, float]) -> list[str]:
    """A sentence where stresses are trained on and no validation frame has one.

    Args:
      dataset: All splits.
      loss_terms: Weight in the loss of each quantity, by name.
    """
    valid = dataset.splits["valid"]
    weighs = bool(loss_terms.get("stress", 0.0)) and bool(valid)
    if not weighs or columns.any_labelled(valid, "stress"):
        return []
    return [
        "stress: trained on, but no validation frame has a label: it has no part in which step is"
        " the best"
    ]


def left_out(dataset: data_dataset.Dataset, loss_terms: Mapping[str, float]) -> list[str]:
    """Sentences on labels that errors are reported for although nothing is trained on them.

    Args:
      dataset: All splits.
      loss_terms: Weight in the loss of each quantity, by name.
    """
    lines = []
    for term in dataset.quantities:
        count = int(columns.is_labelled(dataset.train, term).sum())
        if count and not loss_terms.get(term, 0.0):
            lines.append(
                f"{term}: {count} training frames have labels that errors are reported for, but "
                f"they are not trained on; {_setting(term)}=1 trains on them"
            )
    return lines


def _setting(term: str) -> str:
    return f"loss.{term}" if term in DERIVED else f"loss.quantities.{term}"
