"""Damages files and reads them, and counts what became of them.

    python -m scripts.fuzz --what data --seed 1 --mutations 500

Every mutation is a line in ``--log``; a run that was stopped goes on where it was. The same seed
gives the same damage. Exits with 1 if anything was neither refused nor read rightly.
"""

import argparse
import importlib
import itertools
import json
import sys
from dataclasses import asdict
from pathlib import Path

from tests.fuzz import harness

SUBJECTS = {
    "data": "tests.fuzz.data_cases",
    "artefacts": "tests.fuzz.artefact_cases",
    "runs": "tests.fuzz.run_cases",
}


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", choices=SUBJECTS, default="data")
    parser.add_argument("--only", help="one kind of file, as it stands in the log")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--mutations", type=int, default=500)
    parser.add_argument("--log", type=Path, help="default: fuzz-WHAT-SEED.jsonl")
    options = parser.parse_args()
    cases = importlib.import_module(SUBJECTS[options.what])
    subjects = [options.only] if options.only else cases.subjects()
    log = options.log or Path(f"fuzz-{options.what}-{options.seed}.jsonl")
    outcomes = _done(log)
    known = {(outcome.subject, outcome.seed) for outcome in outcomes}
    with log.open("a", encoding="utf-8") as file:
        for number, subject in zip(range(options.mutations), itertools.cycle(subjects)):
            seed = 1_000_000 * options.seed + number
            if (subject, seed) in known:
                continue
            outcome = cases.attempt(subject, seed)
            outcomes.append(outcome)
            file.write(json.dumps(asdict(outcome)) + "\n")
            file.flush()
            if outcome.verdict not in harness.GOOD:
                print(outcome, flush=True)
    print(harness.summary(outcomes))
    return int(any(outcome.verdict not in harness.GOOD for outcome in outcomes))


def _done(log: Path) -> list[harness.Outcome]:
    if not log.exists():
        return []
    lines = log.read_text(encoding="utf-8").splitlines()
    return [harness.Outcome(**json.loads(line)) for line in lines if line.endswith("}")]


if __name__ == "__main__":
    sys.exit(main())
