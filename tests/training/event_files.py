"""What is in files of TensorBoard."""

import struct

import pytest


def read_events(folder):
    """(step, tag, value) in order; "begin" voids what is of its step or of later ones."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = []
    for path in sorted((folder / "tensorboard").iterdir(), key=lambda own: int(own.suffix[1:])):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack("<Q", data[at : at + 8])
            event = event_pb2.Event.FromString(data[at + 12 : at + 12 + length])
            at += length + 16
            if event.session_log.status == event_pb2.SessionLog.START:
                found.append((event.step, "begin", None))
            found += [(event.step, own.tag, own.simple_value) for own in event.summary.value]
    return found


def kept_events(folder):
    """What TensorBoard shows of them."""
    kept = []
    for step, tag, value in read_events(folder):
        if tag == "begin":
            kept = [own for own in kept if own[0] < step]
        else:
            kept.append((step, tag, value))
    return kept
