"""i-PI driven by a potential: a client that listens on i-PI's socket.

Everything about the protocol is ASE's; this says where to listen, and ends as i-PI does.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

from ase import Atoms
from ase.calculators.socketio import SocketClient, SocketClosed

from equipot import errors


@dataclasses.dataclass(frozen=True)
class Address:
    """Where i-PI listens: a local socket by its name, or a host and a port.

    Attributes:
      name: Name of the local socket, as i-PI's ``<address>`` has it; empty for a host.
      host: Name of the host.
      port: Port there.
    """

    name: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"unix:{self.name}" if self.name else f"{self.host}:{self.port}"


def address_of(text: str) -> Address:
    """Reads ``unix:NAME`` or ``HOST:PORT``.

    Raises:
      ConfigError: If it is neither.
    """
    before, colon, after = text.rpartition(":")
    if colon and before == "unix" and after:
        return Address(name=after)
    if colon and before and after.isdecimal() and 0 < int(after) < 65536:
        return Address(host=before, port=int(after))
    raise errors.ConfigError(
        f"--ipi: expected unix:NAME or HOST:PORT, as the ffsocket of i-PI's input says, received "
        f"{text!r}"
    )


def serve(atoms: Atoms, address: Address, look: Callable[[int], None] = lambda _: None) -> int:
    """Answers i-PI until it ends or closes the socket.

    Args:
      atoms: The atoms in i-PI's order, with a calculator; which directions are periodic is taken
        from them. Without three the virial is zero. Their constraints are taken off: i-PI moves
        the atoms, and has to know all forces.
      address: Where i-PI listens.
      look: Called with the number of each evaluation.

    Returns:
      Number of evaluations.

    Raises:
      DriverError: If nobody listens there, or i-PI has another number of atoms.
      EquipotError: What an evaluation raises; i-PI then waits for another client.
    """
    count = 0
    atoms.set_constraint()
    with _connected(address) as client:
        try:
            for _ in client.irun(atoms, use_stress=bool(atoms.pbc.all())):
                look(count)
                count += 1
        except (SocketClosed, ConnectionError):  # in the middle of a message: i-PI was stopped
            pass
        except ValueError as failure:
            if isinstance(failure, errors.EquipotError) or "broadcast" not in str(failure):
                raise
            raise errors.DriverError(
                f"i-PI: expected the {len(atoms)} atoms of the file given here, received another "
                f"number: {failure}"
            ) from failure
    return count


@contextlib.contextmanager
def _connected(address: Address) -> Iterator[SocketClient]:
    try:
        if address.name:
            client = SocketClient(unixsocket=address.name)
        else:
            client = SocketClient(host=address.host, port=address.port)
    except OSError as failure:
        raise errors.DriverError(
            f"i-PI: nobody listens at {address} ({failure}); start i-PI first, with that address "
            "in its ffsocket"
        ) from failure
    try:
        yield client
    finally:
        client.close()
