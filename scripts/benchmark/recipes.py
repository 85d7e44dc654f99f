"""What the benchmark of training trains on, and with which settings.

Each entry is a list of overrides of ``equipot-train``. Random splits have a seed that is not that
of a run. All sets but the shipped water lie in ``$EQUIPOT_REFERENCE_DATA``.
"""

from collections.abc import Mapping, Sequence

_BOTNET = "equipot://reference/botnet_ethanol"

SETS: Mapping[str, Sequence[str]] = {
    "water": ("data=water",),
    "ethanol": ("data=rmd17_ethanol",),
    "aspirin": ("data=rmd17_aspirin",),
    "botnet_ethanol": (
        f"data.train={_BOTNET}/train.xyz.xz",
        f"data.isolated_atoms={_BOTNET}/isolated_atoms.xyz",
        f"data.test={_BOTNET}/test_MD.xyz.xz",
        "data.num_valid=50",
    ),
    "si": ("data=si_nequip",),
    "water_revpbe0d3": ("data=water_revpbe0d3",),
    "mptrj": ("data=mptrj_sample",),
}
"""By name; nothing but the data is given."""

RECIPES: Mapping[str, Sequence[str]] = {
    "default": (),
    "former_default": (
        "model=nequip",
        "optimizer=amsgrad",
        "loss.kind=mse",
        "potential.scale=forces_rms",
    ),
    "narrow": ("model.num_channels=32",),
    "messages_degree_1": ("model.message_lmax=1",),
    "huber": ("loss.kind=huber",),
    "amsgrad": ("optimizer=amsgrad",),
    "soap": ("optimizer=soap",),
    "soap_all": ("optimizer=soap", "optimizer.soap.acts_on=all"),
    "schedule_free": ("optimizer=schedule_free",),
    "nequip": ("model=nequip",),
    "nequip_degree_2": ("model=nequip", "model.lmax=2"),
    "mace_degree_3": ("model.lmax=3", "model.message_lmax=2"),
}
"""By name; ``--also "NAME=OVERRIDE OVERRIDE"`` adds one without an edit."""

TINY: Sequence[str] = (
    "data.split_file=null",
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
