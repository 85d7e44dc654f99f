"""What the benchmark of training trains on, and with which settings.

Each entry is a list of overrides of ``equipot-train``. Random splits have a seed that is not that
of a run. All sets but the shipped water lie in ``$EQUIPOT_REFERENCE_DATA``.
"""

from collections.abc import Mapping, Sequence

_STRESS = "loss=energy_forces_stress"
_BOTNET = "equipot://reference/botnet_ethanol"

SETS: Mapping[str, Sequence[str]] = {
    "water": ("data=water", _STRESS, "model.cutoff=4.5"),
    "ethanol": ("data=rmd17_ethanol",),
    "aspirin": ("data=rmd17_aspirin",),
    "botnet_ethanol": (
        f"data.train={_BOTNET}/train.xyz.xz",
        f"data.isolated_atoms={_BOTNET}/isolated_atoms.xyz",
        f"data.test={_BOTNET}/test_MD.xyz.xz",
        "data.num_valid=50",
    ),
    "si": ("data=si_nequip", _STRESS),
    "water_revpbe0d3": ("data=water_revpbe0d3",),
    "mptrj": ("data=mptrj_sample", _STRESS),
}
"""By name; those with stress are trained on it."""

RECIPES: Mapping[str, Sequence[str]] = {
    "default": (),
    "amsgrad_norm": ("loss.kind=norm",),
    "muon_norm": ("optimizer=muon", "loss.kind=norm", "optimizer.ema_decay=0.999"),
    "soap_norm": ("optimizer=soap", "loss.kind=norm", "optimizer.ema_decay=0.999"),
    "soap_all_norm": (
        "optimizer=soap",
        "optimizer.soap.acts_on=all",
        "loss.kind=norm",
        "optimizer.ema_decay=0.999",
    ),
    "schedule_free_norm": ("optimizer=schedule_free", "loss.kind=norm"),
    "mace_muon_norm": (
        "model=mace",
        "model.num_channels=32",
        "model.message_lmax=2",
        "model.radial_widths=[32,32]",
        "optimizer=muon",
        "loss.kind=norm",
        "optimizer.ema_decay=0.999",
    ),
}
"""By name; ``--also "NAME=OVERRIDE OVERRIDE"`` adds one without an edit."""

TINY: Sequence[str] = (
    "data.num_train=8",
    "data.num_valid=4",
    "data.num_test=4",
    "data.test=null",
    "data.valid=null",
    "model.num_layers=1",
    "model.lmax=1",
    "model.num_channels=4",
)
"""What makes a run a trial of the benchmark itself."""
