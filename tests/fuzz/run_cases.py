"""Damages a file of a run folder, and does what a command does that goes on in it."""

import functools
import json
import pathlib
import shutil
import tempfile
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from equipot.training import checkpoints, config, folder, run_log, state
from tests.fuzz import harness, mutations

_FACTS = {"fingerprint": "abc", "num_devices": 1, "init_from": None, "scale": [0.5, 0.25]}
_ERRORS = {"energy": {"rmse": 0.25, "mae": 0.125}, "forces": {"rmse": 0.5}, "stress": None}
_METRICS = {"train": _ERRORS, "valid": _ERRORS, "test": None, "seconds": 1.5}
_LINES = [{"step": step, "loss": 1.0 / step, "valid_loss": 2.0 / step} for step in (1, 2, 3)]


def subjects() -> list[str]:
    """Files of the run itself, and those of its checkpoints by what they are."""
    return ["records", "descriptions", "checkpoints", "finished"]


def attempt(subject: str, seed: int) -> harness.Outcome:
    """Damages one file of a run folder and goes on with the run.

    Args:
      subject: One of ``subjects``.
      seed: Decides the damage.
    """
    rng = np.random.default_rng([seed, subjects().index(subject)])
    with tempfile.TemporaryDirectory(prefix="fuzz-") as parent:
        path = pathlib.Path(parent) / "run"
        shutil.copytree(_made(), path)
        if subject == "finished":
            (path / "metrics.json").write_text(json.dumps(_METRICS))
        chosen = _choices(path, subject)
        file = chosen[int(rng.integers(len(chosen)))]
        if rng.random() < 0.05:
            file.unlink()
            damage = "taken out"
        else:
            damaged, damage = mutations.mutate(file.read_bytes(), rng)
            file.write_bytes(damaged)
        damage = f"{file.relative_to(path)}: {damage}"
        read = functools.partial(_finished if subject == "finished" else _goes_on, path)
        return harness.judge(subject, seed, damage, read, ["run/", "run:"])


def _configuration(path: pathlib.Path) -> config.TrainConfig:
    model = {"name": "nequip", "cutoff": 4.0, "radial_widths": [8, 8]}
    return config.train_config(
        {"data": {"train": "water.xyz"}, "model": model, "run_dir": str(path)}
    )


def _state(step: int) -> state.TrainState:
    rng = np.random.default_rng(step)
    params = {
        "model": {"w": jnp.asarray(rng.normal(size=(20, 30)), jnp.float32)},
        "scale": jnp.ones(2, jnp.float32),
    }
    begun = state.init_state(params, optax.scale_by_amsgrad())
    return begun.replace(step=jnp.asarray(step, jnp.int32))


def _progress(step: int, logs: dict[str, int]) -> state.Progress:
    return state.Progress(
        step=step, epoch=1, position=step, best_loss=0.5, best_step=2 if step > 1 else 1, logs=logs
    )


@functools.cache
def _made() -> pathlib.Path:
    """A run folder with three checkpoints, as a run that was stopped leaves it."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="fuzz-run-")) / "run"
    settings = _configuration(path)
    with folder.occupied(folder.find_folder(settings), settings, _FACTS) as place:
        with (
            run_log.RunLog(path, {}) as log,
            checkpoints.Checkpoints(place.checkpoints, keep=2) as saved,
        ):
            for line in _LINES:
                log.record(line)
                saved.save(_state(line["step"]), _progress(line["step"], log.lengths()))
            log.say("stopped")
        place.table.write_text("the errors\n")
    return path


def _choices(path: pathlib.Path, subject: str) -> list[pathlib.Path]:
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.name != ".lock")
    inside = [p for p in files if "checkpoints" in p.parts]
    described = [p for p in inside if p.name.startswith("_") or p.parent.name == "meta"]
    return {
        "records": [p for p in files if p not in inside and p.name != "errors.txt"],
        "descriptions": described,
        "checkpoints": inside,
        "finished": [path / "metrics.json", path / "metrics.json", path / "errors.txt"],
    }[subject]


def _finished(path: pathlib.Path) -> str:
    place = folder.find_folder(_configuration(path))
    folder.read_table(place)
    found = folder.read_metrics(place) if place.is_finished else _METRICS
    stored = json.loads(place.metrics.read_text()) if place.is_finished else _METRICS
    return "" if found == stored else f"the errors are {found}"


def _goes_on(path: pathlib.Path) -> str:
    settings, expected = _configuration(path), _state(3)
    with (
        folder.occupied(folder.find_folder(settings), settings, _FACTS) as place,
        checkpoints.Checkpoints(place.checkpoints, keep=2) as saved,
    ):
        restored, progress = saved.load(expected)
        best = saved.load_ema(progress.best_step, expected)
        with run_log.RunLog(path, progress.logs):
            run_log.read_lines(path / run_log.JSONL)
    known = _progress(3, dict(progress.logs))
    if progress != known:
        return f"goes on as {progress}"
    if not _equal(restored, expected) or not _equal(best, _state(2).ema_params):
        return "goes on with other arrays"
    return ""


def _equal(first: Any, second: Any) -> bool:
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, first, second)))
